"""An input -> shards: which lines go into one batch together.

Theory of operation. One pass over the lines checks each (batchsim.domain.validation.input_file) and puts it
into a shard (batchsim.runner.planning.sharding); its custom_id is put aside for collecting. The same input
and limits always give the same plan.

A line's index counts the lines that hold requests from 0; it is the line's place in the results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson

from batchsim.amounts import counted
from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.domain.validation.input_file import InputRules, InvalidLine
from batchsim.errors import InputError
from batchsim.jsonl import read_blocks
from batchsim.runner.journal.shard_entries import Planned
from batchsim.runner.planning.sharding import Builder
from batchsim.runner.planning.skipped_lines import SkippedLines
from batchsim.runner.results.custom_id_spool import CustomIdSpool

ERRORS_KEPT = 1_000
"""How many of an input's errors are remembered; all of them are counted."""

_LEADING_ID = re.compile(rb'\s*\{\s*"custom_id"\s*:\s*"([^"\\]*)"')
"""A custom_id where almost every tool writes it, and without escapes: no need to parse the line."""


class InvalidInput(InputError):
    """The input has lines that the service would refuse; nothing was sent.

    `errors` are the first of them, in the order of the lines, and `count` is how many there are.
    """

    def __init__(self, path: Path | str | None, errors: tuple[BatchError, ...], count: int) -> None:
        first = errors[0]
        more = f" (and {counted(count - 1, 'more error')})" if count > 1 else ""
        super().__init__(
            f"{first.code}: {first.message}{more}",
            path=path,
            line=first.line,
            hint="nothing was sent; `batchsim validate` lists every error",
        )
        self.errors = errors
        self.count = count


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards of an input, numbered from 1 in the order of their first lines."""

    lines: int
    bytes: int
    shards: tuple[Planned, ...]
    custom_ids: CustomIdSpool = field(compare=False)
    skipped: SkippedLines | None = field(default=None, compare=False)
    """The invalid lines, where they are left out and there are any; `lines` counts them too."""


def make_plan(
    stream: BinaryIO,
    *,
    path: Path | str | None = None,
    limits: Limits = OPENAI,
    supports: Callable[[str], bool] = is_openai_model,
    observe: Callable[[RequestLine], object] | None = None,
    skip_invalid: bool = False,
) -> Plan:
    """The plan for the input in `stream`, read from its start; `path` names it in errors.

    `observe` sees each valid line on the way, so that who wants to know more reads nothing twice.

    Raises InvalidInput when any line is not valid or fits no batch (with `skip_invalid`, when none
    is and does), InputError when a line is too long to be read at all.
    """
    rules = InputRules(one_batch=False, limits=limits, supports=supports)
    builder = Builder(limits)
    skipped = SkippedLines()
    errors: list[BatchError] = []
    count = 0
    try:
        for found in rules.walk(read_blocks(stream, longest=limits.line_bytes)):
            invalid = [found] if isinstance(found, InvalidLine) else builder.add(found)
            if observe is not None and isinstance(found, RequestLines):
                for request in found.requests():
                    observe(request)
            count += len(invalid)
            errors += [each.error for each in invalid[: ERRORS_KEPT - len(errors)]]
            for each in invalid if skip_invalid else ():
                skipped.add(*each)
    except InputError as fault:
        fault.path = path
        raise
    for error in rules.finish():
        count += 1
        errors.append(error)
    if errors and not (skip_invalid and builder.lines):
        raise InvalidInput(path, tuple(errors), count)
    lines = builder.lines + len(skipped)
    return Plan(lines, stream.tell(), builder.shards(), builder.custom_ids, skipped or None)


def custom_id_of(content: bytes) -> str:
    """The custom_id of a line that was found valid."""
    leading = _LEADING_ID.match(content)
    if leading:
        return leading[1].decode()
    custom_id: str = orjson.loads(content)["custom_id"]
    return custom_id


def custom_ids_in(content: BinaryIO) -> Iterator[str]:
    """The custom_ids of a shard's lines, read from the shard's content."""
    for block in read_blocks(content):
        yield from map(custom_id_of, block.contents)
