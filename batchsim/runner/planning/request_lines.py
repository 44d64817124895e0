"""Readers of a request line, from its bytes to a request or to its custom_id."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from batchsim.domain.lines import RequestLine
from batchsim.errors import JournalError
from batchsim.jsonl import Line, read_blocks

_LEADING_ID = re.compile(rb'\s*\{\s*"custom_id"\s*:\s*"([^"\\]*)"')
"""A custom_id at its usual position and without escapes: the line need not be parsed.

That takes a tenth of the time of parsing it.
"""


def read_object(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object on a line; an empty one if there is none."""
    try:
        value = orjson.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read_custom_id(content: bytes) -> str | None:
    custom_id = read_object(content).get("custom_id")
    return custom_id if isinstance(custom_id, str) else None


def custom_ids_in(stream: BinaryIO) -> Iterator[str]:
    """Yield the custom_ids of lines that were found valid."""
    for block in read_blocks(stream):
        yield from map(custom_id_of, block.contents)


def custom_id_of(content: bytes) -> str:
    leading = _LEADING_ID.match(content)
    if leading:
        return leading[1].decode()
    custom_id: str = orjson.loads(content)["custom_id"]
    return custom_id


def read_request(line: Line) -> RequestLine | None:
    """Return the request on a line; None if there is none, as other tools may have sent."""
    value = read_object(line.content)
    body = value.get("body")
    if not isinstance(body, dict) or "custom_id" not in value or "url" not in value:
        return None
    return RequestLine(line.number, value["custom_id"], value["url"], body.get("model"), body)


def request_on(line: Line, source: Path) -> RequestLine:
    """Return the request on a line of `source`. Raises JournalError when it is gone."""
    request = read_request(line)
    if request is None:
        raise changed_input(source, f"line {line.number:,} holds no request")
    return request


def changed_input(source: Path, difference: str) -> JournalError:
    """Return the error for an input that is not the one that the job was planned for."""
    return JournalError(
        f"the input {source} has changed since the job began: {difference}",
        hint="restore it to continue the job, or give the changed input another results file",
    )
