"""The results of all rounds merged: for each line of the input the one that counts.

Theory of operation. A shard's runs say which lines of the input it holds, in order, and its index
says where their results lie. The runs of all shards are merged by their first lines into segments,
stretches of the input that the same shards hold; walking the segments, every shard's index is
followed from front to back. So memory holds the indexes of the shards that are being read,
however the lines are scattered.

Of the results of a line the latest round's counts, except that a good one is never replaced: a good
one that comes later is `late`, and is kept apart.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Self

from batchsim.runner.job import JobDirectory
from batchsim.runner.journal.shard_entries import Planned, runs
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.results.outcomes import Ending, Outcome
from batchsim.runner.results.shard_index import ending
from batchsim.runner.results.shard_reader import LocatedLines, ShardReader


class Segment(NamedTuple):
    """The lines from `begin` to before `end` (indexes in the input), and their shards."""

    begin: int
    end: int
    shards: tuple[int, ...]


class Stretch(NamedTuple):
    """Neighbouring lines whose counting results are all in one shard.

    `begin` is the index of the first in the input. `late` are good results that do not count, since
    the line had a good one before; such a line is the only one of its stretch.
    """

    begin: int
    lines: LocatedLines
    late: tuple[LocatedLines, ...] = ()


def segments(plans: Iterable[Planned]) -> Iterator[Segment]:
    """Yield the input, cut where the set of shards that hold its lines changes; no gaps."""
    starts = heapq.merge(*map(_runs, plans))
    start = next(starts, None)
    active: list[tuple[int, int]] = []
    at = 0
    while active or start:
        if not active and start:
            at = start[0]
        while start and start[0] == at:
            active.append((start[1], start[2]))
            start = next(starts, None)
        end = min(end for _, end in active)
        end = min(end, start[0]) if start else end
        yield Segment(at, end, tuple(sorted(shard for shard, _ in active)))
        active = [each for each in active if each[1] > end]
        at = end


def _runs(plan: Planned) -> Iterator[tuple[int, int, int]]:
    for run in runs(plan.ranges):
        yield run.first, plan.shard, run.first + run.lines


class MergedRounds:
    """The results of the shards `plans` in the order of the input, a context manager."""

    def __init__(
        self, plans: Sequence[Planned], directory: JobDirectory, spool: CustomIdSpool | None = None
    ) -> None:
        self._plans = plans
        self._stack = ExitStack()
        self._readers = {plan.shard: ShardReader(plan, directory, spool) for plan in plans}

    def __enter__(self) -> Self:
        for reader in self._readers.values():
            self._stack.callback(reader.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stretches(self) -> Iterator[Stretch]:
        """Yield the results that count for all lines that a shard holds, in order."""
        for begin, end, numbers in segments(self._plans):
            readers = [self._readers[number] for number in numbers]
            if len(numbers) == 1:
                at = begin
                while at < end:
                    lines = readers[0].take(end - at)
                    yield Stretch(at, lines)
                    at += len(lines.locations)
            else:
                for at in range(begin, end):
                    yield _chosen(at, [each.take(1) for each in readers])
            for reader in readers:
                reader.close_at_end()

    def endings(self) -> Iterator[Ending]:
        for stretch in self.stretches():
            yield from map(ending, stretch.lines.locations.packed)

    def contents(self, lines: LocatedLines) -> list[bytes]:
        """Return the results of the lines taken last. Raises JournalError when they are lacking."""
        return self._readers[lines.shard].read(lines.locations)


def _chosen(at: int, found: list[LocatedLines]) -> Stretch:
    best, late = found[0], []
    for other in found[1:]:
        if ending(best.locations.packed[0]).outcome is not Outcome.OK:
            best = other
        elif ending(other.locations.packed[0]).outcome is Outcome.OK:
            late.append(other)
    return Stretch(at, best, tuple(late))
