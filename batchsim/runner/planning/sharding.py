"""Shards from valid lines: those with the same url and model, as many as a batch may hold.

Theory of operation. Each group of lines has one shard that grows. It is closed when the next line
would take it over a limit, and another one begins. Memory holds at most four numbers for a line,
and none while neighbours go to the same shard.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from batchsim.domain.batches import BatchError
from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLines
from batchsim.domain.models import alias
from batchsim.domain.validation.batch_errors import too_many_inputs
from batchsim.domain.validation.input_file import InvalidLine, embedding_inputs
from batchsim.jsonl import Line
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.runner.journal.shard_entries import Planned, Run
from batchsim.runner.results.custom_id_spool import CustomIdSpool

HASHED_TOGETHER = 1 << 14
"""From so many bytes on, lines are hashed: each by itself would cost a call, and twice the time."""


def queue(limits: Limits, model: str | None) -> str | None:
    """Return the name under which `limits.enqueued_tokens` limits `model`, if it does."""
    if not limits.enqueued_tokens or model is None:
        return None
    name = alias(model)
    return name if name in limits.enqueued_tokens else None


class GrowingShard:
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

    def add(
        self, number: int, offset: int, contents: list[bytes], *, inputs: int = 0, tokens: int = 0
    ) -> None:
        """Add neighbouring lines, the first with this number and offset; these never fall."""
        if offset != self._end:
            self._close_run()
            self._run = Run(number - 1, self.lines, offset, offset)
        size = sum(map(len, contents)) + len(contents)
        self._end = offset + size
        self.lines += len(contents)
        self.bytes += size
        self.inputs += inputs
        self.tokens += tokens
        self._unhashed += contents
        if self.bytes - self._hashed_bytes >= HASHED_TOGETHER:
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
    """Puts lines into shards, numbered after `shards`: one for each group that grows."""

    def __init__(self, limits: Limits, *, shards: int = 0, round: int = 0) -> None:
        self._limits = limits
        self._round = round
        self._growing: dict[tuple[str, str | None], GrowingShard] = {}
        self._closed: list[Planned] = []
        self.custom_ids = CustomIdSpool()
        self._shards = shards
        self.lines = 0

    def add(self, lines: RequestLines) -> list[InvalidLine]:
        """Add valid lines. Return those that no batch can hold, which are not added."""
        amounts = _amounts(lines, self._limits)
        refused = _too_large(lines, amounts, self._limits)
        begin = 0
        for (number, _, _), _ in refused:
            end = number - lines.number
            self._take(lines, amounts, begin, end)
            begin = end + 1
        self._take(lines, amounts, begin, len(lines.contents))
        return refused

    def _take(self, lines: RequestLines, amounts: _Amounts, begin: int, end: int) -> None:
        """Add lines to the shard of their group, and the rest to the next one when it is full."""
        group = lines.url, lines.model
        self.lines += end - begin
        while begin < end:
            shard = self._growing.get(group) or self._open(group)
            until = begin + self._fitting(shard, amounts, begin, end)
            if until == begin:
                self._open(group)
                continue
            part = lines.part(begin, until)
            shard.add(
                part.number,
                part.offset,
                part.contents,
                inputs=sum(amounts.inputs[begin:until]),
                tokens=sum(amounts.tokens[begin:until]),
            )
            self.custom_ids.add(shard.number, part.custom_ids)
            begin = until

    def _fitting(self, shard: GrowingShard, amounts: _Amounts, begin: int, end: int) -> int:
        limits = self._limits
        fitting = min(end - begin, limits.requests_per_batch - shard.lines)
        for each, taken, most in (
            (amounts.bytes, shard.bytes, limits.input_file_bytes),
            (amounts.inputs, shard.inputs, limits.embedding_inputs_per_batch),
            (amounts.tokens, shard.tokens, limits.enqueued_tokens.get(shard.queue or "", 0)),
        ):
            if each:
                sums = list(accumulate(each[begin : begin + fitting]))
                fitting = bisect_right(sums, most - taken)
        # A line that alone has too many tokens gets a shard of its own.
        return fitting if shard.lines else max(1, fitting)

    def _open(self, group: tuple[str, str | None]) -> GrowingShard:
        if group in self._growing:
            self._close(self._growing.pop(group))
        self._shards += 1
        shard = self._growing[group] = GrowingShard(self._shards, self._round, *group)
        shard.queue = queue(self._limits, shard.model)
        return shard

    def _close(self, shard: GrowingShard) -> None:
        self._closed.append(shard.planned())
        self.custom_ids.finish(shard.number)

    def shards(self) -> tuple[Planned, ...]:
        for shard in self._growing.values():
            self._close(shard)
        return tuple(sorted(self._closed, key=lambda planned: planned.shard))


class _Amounts(NamedTuple):
    """The amounts of each line that count towards a limit; empty where there is no limit."""

    bytes: list[int]
    inputs: list[int]
    tokens: list[int]


def _amounts(lines: RequestLines, limits: Limits) -> _Amounts:
    embeds, queued = lines.url == "/v1/embeddings", queue(limits, lines.model) is not None
    return _Amounts(
        [len(content) + 1 for content in lines.contents],
        [embedding_inputs(body.get("input")) for body in lines.bodies] if embeds else [],
        [estimate_prompt_tokens(request) for request in lines.requests()] if queued else [],
    )


def _too_large(lines: RequestLines, amounts: _Amounts, limits: Limits) -> list[InvalidLine]:
    sizes, inputs, _ = amounts
    if (
        max(sizes) <= limits.input_file_bytes
        and max(inputs, default=0) <= limits.embedding_inputs_per_batch
    ):
        return []
    refused = []
    for position, (content, start) in enumerate(zip(lines.contents, lines.starts(), strict=False)):
        number, size = lines.number + position, sizes[position]
        if size > limits.input_file_bytes:
            error = _line_too_long(number, size, limits.input_file_bytes)
        elif inputs and inputs[position] > limits.embedding_inputs_per_batch:
            error = too_many_inputs(inputs[position], limits.embedding_inputs_per_batch)
        else:
            continue
        refused.append(InvalidLine(Line(number, start, content), error))
    return refused


def _line_too_long(number: int, size: int, limit: int) -> BatchError:
    """Return the error of a line larger than an input file (ours; the service never sees it)."""
    message = f"The line has {size:,} bytes. An input file may have at most {limit:,}."
    return BatchError("line_too_long", message, None, number)
