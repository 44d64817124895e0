"""What stands on a line of a result file, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

import orjson

from batchsim.domain.lines import ResultLine


def read_result(content: bytes) -> ResultLine | None:
    """The result on a line; None when it is none that can be placed."""
    try:
        return ResultLine.from_object(_parsed(content))
    except ValueError:
        return None


def _parsed(content: bytes) -> Any:
    """The JSON value of a line; None when it is none."""
    try:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return json.loads(content)  # a paid answer with a NaN in it is still an answer
    except (ValueError, RecursionError):
        return None


def is_utf8(content: bytes) -> bool:
    """Whether the bytes are text."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def says(result: ResultLine | None) -> Any:
    """What of a result makes it differ from another one: not its ids."""
    if result is None:
        return None
    response = result.response
    return result.error, response and (response.status_code, response.body)
