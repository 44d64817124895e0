"""Recorded answers by custom_id: an earlier output file, or texts written by hand, as JSONL.

Memory holds only the positions of the lines. A line is read again when its answer is needed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchsim import jsonl
from batchsim.errors import InputError

HINT = (
    'each line is {"custom_id": ..., "text": ...} or '
    '{"custom_id": ..., "response": {"status_code": ..., "body": ...}}'
)


class RecordedAnswers:
    """The answers in a file, by custom_id.

    An answer is a text, or a status code and a body. Opening reads the file once from end to end
    and raises InputError, with the line, for the first line that holds no answer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._positions: dict[str, tuple[int, int]] = {}
        try:
            self._read_positions()
        except OSError as error:
            raise InputError(
                f"the recorded answers cannot be read: {error.strerror or error}",
                path=path,
                hint="name an existing JSONL file",
            ) from error

    def get(self, custom_id: str) -> str | tuple[int, Any] | None:
        """Return the answer recorded for `custom_id`, or None.

        Raises InputError when the file has changed since it was opened.
        """
        position = self._positions.get(custom_id)
        if position is None:
            return None
        offset, size = position
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                found, answer = _answer(stream.read(size))
        except (OSError, ValueError):
            found, answer = None, ""
        if found != custom_id:
            raise InputError(
                "the recorded answers have changed since they were read", path=self._path
            )
        return answer

    def _read_positions(self) -> None:
        with self._path.open("rb") as stream:
            for line in jsonl.read_lines(stream):
                if not line.content.strip():
                    continue
                try:
                    custom_id, _ = _answer(line.content)
                except ValueError as error:
                    raise InputError(
                        str(error), path=self._path, line=line.number, hint=HINT
                    ) from None
                if custom_id in self._positions:
                    raise InputError(
                        f"a second answer for custom_id {custom_id!r}",
                        path=self._path,
                        line=line.number,
                        hint="keep one of them",
                    )
                self._positions[custom_id] = (line.offset, len(line.content))


def _answer(content: bytes) -> tuple[str, str | tuple[int, Any]]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("the line is not JSON") from None
    if not isinstance(value, Mapping):
        raise ValueError("the line is not a JSON object")
    custom_id, text, response = value.get("custom_id"), value.get("text"), value.get("response")
    if not isinstance(custom_id, str):
        raise ValueError("the line has no custom_id")
    if isinstance(text, str):
        return custom_id, text
    if not isinstance(response, Mapping) or "body" not in response:
        raise ValueError("the line has neither a text nor a response with a body")
    status_code = response.get("status_code", 200)
    if type(status_code) is not int or not 100 <= status_code <= 599:
        raise ValueError("the response's status_code is not an HTTP status")
    return custom_id, (status_code, response["body"])
