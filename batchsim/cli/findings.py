"""What there is to say about an input file: errors as the API has them, explained, and warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, BinaryIO, NamedTuple

import orjson

from batchsim.domain.advice import Advice
from batchsim.domain.batches import BatchError
from batchsim.domain.diagnosis import (
    HEAD,
    file_too_large,
    hint_for,
    is_about_one_batch,
    shown,
    why_unreadable,
    wrong_format,
)
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.validation import InputRules, InvalidLine
from batchsim.jsonl import Line, read_blocks, read_lines

STEP = 1 << 21
"""After so many bytes a progress bar is moved on."""

SEARCHES = 20
"""For so many duplicates the input is searched for the line that had the custom_id first."""


class Finding(NamedTuple):
    """One thing to say about the input; `severity` is "error" or "warning"."""

    severity: str
    code: str
    message: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None
    param: str | None = None
    detail: str | None = None
    """The cause, where the API's own message does not say it."""
    several_batches: bool = False
    """Whether it only says that the input does not fit into one batch."""


def findings(
    stream: BinaryIO, rules: InputRules, *, limits: Limits = OPENAI, progress: Any = None
) -> Iterator[Finding]:
    """Everything to say about the input that `stream` (which can seek) holds, in line order.

    `progress` is a click progress bar that is moved along.
    """
    cause = wrong_format(stream.read(HEAD))
    if cause is not None:
        yield Finding("error", "not_jsonl", cause.text, cause.hint)
        return
    stream.seek(0)
    advice = Advice(rules.custom_ids)
    inspector = _Inspector(stream, rules)
    with progress or nullcontext() as bar:
        for found in rules.walk(read_blocks(stream, longest=limits.line_bytes)):
            if isinstance(found, InvalidLine):
                yield inspector.explain(*found)
                continue
            advice.look(found)
            if bar is not None and found.offset - bar.pos >= STEP:
                bar.update(found.offset - bar.pos)
    size = stream.tell()
    if size > limits.input_file_bytes:
        yield _whole(file_too_large(size, limits.input_file_bytes))
    for error in rules.finish():
        yield _whole(error)
    yield from _warnings(stream, size, rules, advice)


def _finding(error: BatchError, hint: str, **more: Any) -> Finding:
    return Finding(
        "error", error.code, error.message, hint, line=error.line, param=error.param, **more
    )


def _whole(error: BatchError) -> Finding:
    return _finding(error, hint_for(error), several_batches=is_about_one_batch(error))


def _warnings(stream: BinaryIO, size: int, rules: InputRules, advice: Advice) -> Iterator[Finding]:
    for key, number in rules.unknown_keys.items():
        advice.note(f'the key "{shown(key)}" means nothing to the API', number)
    stream.seek(max(0, size - 2))
    if rules.lines and stream.read() == b"\n\n":
        advice.note("the file ends with a blank line", rules.lines + 1)
    for number, text in advice.given():
        yield Finding("warning", "warning", text, line=number)


class _Inspector:
    """Says why a line is bad, reading the input again where that is the way to know."""

    def __init__(self, stream: BinaryIO, rules: InputRules) -> None:
        self._stream = stream
        self._rules = rules
        self._searches = SEARCHES

    def explain(self, line: Line, error: BatchError) -> Finding:
        if error.code == "invalid_json_line":
            cause = why_unreadable(line.content)
            return _finding(error, cause.hint, column=cause.column, detail=cause.text)
        value = orjson.loads(line.content)
        url = value.get("url")
        first_line = None
        if error.code == "duplicate_custom_id":
            first_line = self._first_line_with(value["custom_id"])
        elif error.code == "mismatched_model":
            first_line = self._rules.model_line
        hint = hint_for(error, first_line=first_line, url=url)
        return _finding(error, hint, several_batches=is_about_one_batch(error, url=url))

    def _first_line_with(self, custom_id: str) -> int | None:
        """The first line with `custom_id`; None once enough searches were paid for."""
        if not self._searches:
            return None
        self._searches -= 1
        position = self._stream.tell()
        self._stream.seek(0)
        try:
            return next(
                (line.number for line in read_lines(self._stream) if _has_id(line, custom_id)), None
            )
        finally:
            self._stream.seek(position)


def _has_id(line: Line, custom_id: str) -> bool:
    if b"\\" not in line.content and custom_id.encode() not in line.content:
        return False
    try:
        value = orjson.loads(line.content)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("custom_id") == custom_id
