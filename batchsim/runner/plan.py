"""An input -> shards: which lines go into one batch together.

Theory of operation. One pass over the lines checks each (batchsim.domain.validation) and puts it
into the open shard of its group, the lines with the same url and model, since a batch runs one
endpoint and one model. A shard is closed when the next line would take it over a limit. What is
kept of a line in memory is at most four numbers, and none at all while neighbours go to the same
shard; its custom_id is put aside for collecting.
The same input and limits always give the same plan.

A line's index counts the lines that hold requests from 0; it is the line's place in the results.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from batchsim.amounts import counted
from batchsim.domain.batch_errors import too_many_inputs
from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.lines import RequestLine
from batchsim.domain.validation import InputRules
from batchsim.errors import InputError
from batchsim.jsonl import Line, read_lines
from batchsim.pricing.tokens import estimate_prompt_tokens
from batchsim.responders.models import alias
from batchsim.runner.custom_ids import CustomIdSpool
from batchsim.runner.shard_entries import Planned
from batchsim.runner.skipped import SkippedLines

ERRORS_KEPT = 1_000
"""How many of an input's errors are remembered; all of them are counted."""

RANGE = 4
"""How many numbers describe one run of neighbouring lines in `Planned.ranges`."""

_HASHED_TOGETHER = 1 << 14
"""From so many bytes on, lines are hashed: each by itself would cost a call, and twice the time."""

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


class Run(NamedTuple):
    """Neighbouring lines of one shard: the index of the first, how many, and their bytes in the input."""

    first: int
    lines: int
    begin: int
    end: int


def runs(ranges: array[int]) -> Iterator[Run]:
    """The runs that `Planned.ranges` describes, in input order."""
    for at in range(0, len(ranges), RANGE):
        yield Run(*ranges[at : at + RANGE])


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
    rules = InputRules(one_model=False, limits=limits, supports=supports)
    builder = Builder(limits)
    skipped = SkippedLines()
    errors: list[BatchError] = []
    count = inputs = 0
    try:
        for line, found in rules.walk(read_lines(stream, longest=limits.line_bytes)):
            if isinstance(found, BatchError):
                wrong: BatchError | None = found
            else:
                wrong = builder.add(line, found, rules.embedding_inputs - inputs)
                if observe is not None:
                    observe(found)
            inputs = rules.embedding_inputs
            if wrong is not None:
                count += 1
                if len(errors) < ERRORS_KEPT:
                    errors.append(wrong)
                if skip_invalid:
                    skipped.add(line, wrong)
    except InputError as error:
        error.path = path
        raise
    for wrong in rules.finish():
        count += 1
        errors.append(wrong)
    if errors and not (skip_invalid and builder.lines):
        raise InvalidInput(path, tuple(errors), count)
    return builder.plan(stream.tell(), skipped if skipped else None)


def queue(limits: Limits, model: str | None) -> str | None:
    """The name under which `limits.enqueued_tokens` limits `model`; None when it does not."""
    if not limits.enqueued_tokens or model is None:
        return None
    name = alias(model)
    return name if name in limits.enqueued_tokens else None


def custom_id_of(content: bytes) -> str:
    """The custom_id of a line that was found valid."""
    leading = _LEADING_ID.match(content)
    if leading:
        return leading[1].decode()
    custom_id: str = orjson.loads(content)["custom_id"]
    return custom_id


def custom_ids_in(content: BinaryIO) -> Iterator[str]:
    """The custom_ids of a shard's lines, read from the shard's content."""
    return (custom_id_of(line.content) for line in read_lines(content))


class GrowingShard:
    """A shard that is still growing."""

    def __init__(self, number: int, round: int, endpoint: str, model: str | None) -> None:
        self.number = number
        self.round = round
        self.endpoint = endpoint
        self.model = model
        self.lines = self.bytes = self.inputs = self.tokens = 0
        self.queue: str | None = None
        """The queue whose tokens limit the shard."""
        self._hash = hashlib.sha256()
        self._unhashed: list[bytes] = []
        self._hashed_bytes = 0
        self._ranges = array("Q")
        self._run = Run(0, 0, 0, 0)
        self._end = -1

    def add(self, line: Line, inputs: int = 0, tokens: int = 0) -> None:
        """Take in a line; their numbers never fall."""
        number, offset, content = line
        if offset != self._end:
            self._close_run()
            self._run = Run(number - 1, self.lines, offset, offset)
        size = len(content) + 1
        self._end = offset + size
        self.lines += 1
        self.bytes += size
        self.inputs += inputs
        self.tokens += tokens
        self._unhashed.append(content)
        if self.bytes - self._hashed_bytes >= _HASHED_TOGETHER:
            self._hash_all()

    def _close_run(self) -> None:
        first, lines_before, begin, _ = self._run
        if self.lines > lines_before:
            self._ranges.extend((first, self.lines - lines_before, begin, self._end))

    def _hash_all(self) -> None:
        self._unhashed.append(b"")
        self._hash.update(b"\n".join(self._unhashed))
        self._unhashed.clear()
        self._hashed_bytes = self.bytes

    def planned(self) -> Planned:
        """The shard, to which nothing will be added."""
        self._close_run()
        self._hash_all()
        return Planned(
            shard=self.number,
            endpoint=self.endpoint,
            model=self.model,
            lines=self.lines,
            bytes=self.bytes,
            tokens=self.tokens,
            fingerprint=self._hash.hexdigest(),
            ranges=self._ranges,
            round=self.round,
        )


class Builder:
    """The shards so far: of each group one that grows, and those before it, closed.

    Their numbers begin after `shards`, and they belong to `round`.
    """

    def __init__(self, limits: Limits, *, shards: int = 0, round: int = 0) -> None:
        self._limits = limits
        self._round = round
        self._growing: dict[tuple[str, str | None], GrowingShard] = {}
        self._closed: list[Planned] = []
        self._custom_ids = CustomIdSpool()
        self._shards = shards
        self.lines = 0
        """How many lines were taken in."""

    def add(self, line: Line, request: RequestLine, inputs: int) -> BatchError | None:
        """Take in a valid line with so many embedding inputs, or say why no batch can hold it."""
        limits = self._limits
        size = len(line.content) + 1
        if size > limits.input_file_bytes:
            return _line_too_long(line.number, size, limits.input_file_bytes)
        if inputs > limits.embedding_inputs_per_batch:
            return too_many_inputs(inputs, limits.embedding_inputs_per_batch)
        group = request.url, request.model
        shard = self._growing.get(group) or self._open(group)
        tokens = estimate_prompt_tokens(request) if shard.queue else 0
        if (
            shard.lines == limits.requests_per_batch
            or shard.bytes + size > limits.input_file_bytes
            or shard.inputs + inputs > limits.embedding_inputs_per_batch
            or (shard.queue and shard.tokens + tokens > limits.enqueued_tokens[shard.queue])
        ) and shard.lines:
            shard = self._open(group)
        shard.add(line, inputs, tokens)
        self._custom_ids.add(shard.number, request.custom_id)
        self.lines += 1
        return None

    def _open(self, group: tuple[str, str | None]) -> GrowingShard:
        if group in self._growing:
            self._close(self._growing.pop(group))
        self._shards += 1
        shard = self._growing[group] = GrowingShard(self._shards, self._round, *group)
        shard.queue = queue(self._limits, shard.model)
        return shard

    def _close(self, shard: GrowingShard) -> None:
        self._closed.append(shard.planned())
        self._custom_ids.finish(shard.number)

    def plan(self, size: int, skipped: SkippedLines | None = None) -> Plan:
        """The plan, for an input of `size` bytes in which some lines were skipped."""
        for shard in self._growing.values():
            self._close(shard)
        shards = sorted(self._closed, key=lambda planned: planned.shard)
        lines = self.lines + (len(skipped) if skipped else 0)
        return Plan(lines, size, tuple(shards), self._custom_ids, skipped)


def _line_too_long(number: int, size: int, limit: int) -> BatchError:
    """The line alone exceeds the size of an input file (ours; the service never sees it)."""
    message = f"The line has {size:,} bytes. An input file may have at most {limit:,}."
    return BatchError("line_too_long", message, None, number)
