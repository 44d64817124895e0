"""Validation of an input file: its errors, or all that running it needs."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from batchsim.domain.batches import BatchError
from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLines
from batchsim.domain.validation.batch_errors import invalid_json_line
from batchsim.domain.validation.input_file import InputRules, InvalidLine
from batchsim.errors import FileCorrupt, InputError
from batchsim.jsonl import BLOCK, read_blocks, read_lines
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.stores import Contents

_FOUR_BYTES = 1 << 32  # offsets below take half the memory; dozens of batches may wait to end


@dataclass(frozen=True, slots=True)
class InputSummary:
    """The errors of an input file, and its model, lines and tokens.

    `offsets` holds the byte offset of each line, then the end of the last line. It is valid only
    when there are no `errors`. `tokens` is 0 unless they were asked for.
    """

    errors: tuple[BatchError, ...]
    model: str | None
    offsets: array[int]
    tokens: int

    @property
    def lines(self) -> int:
        return len(self.offsets) - 1


def open_input(contents: Contents, identifier: str) -> BinaryIO:
    """Open the content of a file that has a record. Raises FileCorrupt if it is gone, too."""
    try:
        return contents.open_content(identifier)
    except KeyError:
        raise FileCorrupt(
            f"The content of {identifier} is gone from the simulator's disk."
        ) from None


def check_input(
    stream: BinaryIO,
    rules: InputRules,
    limits: Limits,
    *,
    count_tokens: bool,
    see: Callable[[RequestLines], object] | None = None,
) -> InputSummary:
    """Read an input file once, until it has as many errors as a batch may list.

    `see` is called with the valid lines in their order, until the first error.
    """
    errors: list[BatchError] = []
    offsets = array("Q")
    tokens = end = seen = 0
    try:
        for found in rules.walk(read_blocks(stream, longest=limits.line_bytes)):
            if isinstance(found, InvalidLine):
                seen = found.line.number
                errors.append(found.error)
                if len(errors) == limits.errors_per_batch:
                    break
                continue
            seen = found.number + len(found.contents) - 1
            if not errors and len(offsets) < limits.requests_per_batch:
                offsets.extend(found.starts())
                end = offsets.pop() - 1
                if see is not None:
                    see(found)
            if count_tokens:
                tokens += sum(map(estimate_prompt_tokens, found.requests()))
    except InputError:
        errors.append(invalid_json_line(seen + 1))
    errors += rules.finish()
    offsets.append(end)
    if end < _FOUR_BYTES:
        offsets = array("I", offsets)
    return InputSummary(tuple(errors[: limits.errors_per_batch]), rules.model, offsets, tokens)


def count_lines(stream: BinaryIO) -> int:
    """Count the lines from the present position on. The last one may lack its newline."""
    lines, last = 0, b"\n"
    while block := stream.read(BLOCK):
        lines += block.count(b"\n")
        last = block[-1:]
    return lines + (last != b"\n")


def index_lines(stream: BinaryIO, lines: int) -> array[int]:
    """Return the `offsets` of a valid input file that has that many lines."""
    offsets = array("Q")
    end = 0
    for line in read_lines(stream):
        if line.number > lines:
            break
        offsets.append(line.offset)
        end = line.offset + len(line.content)
    offsets.append(end)
    return offsets
