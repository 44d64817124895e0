"""The results of all rounds laid over one another: for each line of the input the one that counts.

Theory of operation. A shard's runs say which lines of the input it holds, in order, and its index
says where their results lie. The runs of all shards are merged by their first lines into segments,
stretches of the input that the same shards hold; walking the segments, every shard's index is
followed from front to back. So memory holds the indexes of the shards that are under way, however
the lines are scattered.

Of the results of a line the latest round's counts, except that a good one is never replaced: a good
one that comes later is `late`, and is kept apart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Self

from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.journal.shard_entries import Planned, runs
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.results.outcomes import Outcome
from batchsim.runner.results.shard_index import Place, verdict
from batchsim.runner.results.shard_reader import Shelf, Taken


class Segment(NamedTuple):
    """The lines from `begin` to before `end` (indexes in the input), and the shards that hold them."""

    begin: int
    end: int
    shards: tuple[int, ...]


class Stretch(NamedTuple):
    """Neighbouring lines whose results that count are all in one shard.

    `begin` is the index of the first in the input. `late` are good results that do not count, since
    the line has a good one; then it is the only one of its stretch.
    """

    begin: int
    taken: Taken
    late: tuple[Taken, ...] = ()


class Result(NamedTuple):
    """What counts for one line: a place in a shard."""

    shard: int
    place: Place


def segments(plans: Iterable[Planned]) -> Iterator[Segment]:
    """The input cut where the set of shards that hold its lines changes; shards by number.

    Lines that no shard holds are in no segment.
    """
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


class Overlay:
    """The results of the shards `plans` in the order of the input, a context manager.

    `put_aside` are the custom_ids that planning has put aside, if this process has planned.
    """

    def __init__(
        self,
        plans: Sequence[Planned],
        directory: JobDirectory,
        put_aside: CustomIdSpool | None = None,
    ) -> None:
        self._plans = plans
        self._stack = ExitStack()
        self._shelves = {plan.shard: Shelf(plan, directory, put_aside) for plan in plans}

    def __enter__(self) -> Self:
        for shelf in self._shelves.values():
            self._stack.callback(shelf.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stretches(self) -> Iterator[Stretch]:
        """What counts for every line that a shard holds, in order."""
        for begin, end, numbers in segments(self._plans):
            shelves = [self._shelves[number] for number in numbers]
            if len(numbers) == 1:
                at = begin
                while at < end:
                    taken = shelves[0].take(end - at)
                    yield Stretch(at, taken)
                    at += len(taken.places)
            else:
                for at in range(begin, end):
                    yield _chosen(at, [each.take(1) for each in shelves])
            for shelf in shelves:
                shelf.close_at_end()

    def results(self) -> Iterator[tuple[int, Result]]:
        """The same line by line, each with its index."""
        for begin, (shard, places, _), _ in self.stretches():
            for position in range(len(places)):
                yield begin + position, Result(shard, places.at(position))

    def contents(self, taken: Taken) -> list[bytes]:
        """The bytes of the results taken last. Raises JournalError when the job directory lacks them."""
        return self._shelves[taken.shard].read(taken.places)


def _chosen(at: int, found: list[Taken]) -> Stretch:
    """What counts of the results of one line."""
    best, late = found[0], []
    for other in found[1:]:
        if verdict(best.places.packed[0]).outcome is not Outcome.OK:
            best = other
        elif verdict(other.places.packed[0]).outcome is Outcome.OK:
            late.append(other)
    return Stretch(at, best, tuple(late))
