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
from io import FileIO
from typing import NamedTuple, Self

from batchsim.errors import JournalError
from batchsim.jsonl import read_at
from batchsim.runner.directory import JobDirectory
from batchsim.runner.outcomes import Outcome
from batchsim.runner.places import Index, Place
from batchsim.runner.plan import runs
from batchsim.runner.shard_entries import Planned, Source


class Segment(NamedTuple):
    """The lines from `begin` to before `end` (indexes in the input), and the shards that hold them."""

    begin: int
    end: int
    shards: tuple[int, ...]


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
    """The results of the shards `plans` in the order of the input, a context manager."""

    def __init__(self, plans: Sequence[Planned], directory: JobDirectory) -> None:
        self._plans = plans
        self._stack = ExitStack()
        self._shelves = {plan.shard: _Shelf(plan, directory) for plan in plans}
        self.late: list[Result] = []
        """Good results of the line given last that do not count, since it has a good one."""

    def __enter__(self) -> Self:
        for shelf in self._shelves.values():
            self._stack.callback(shelf.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def results(self) -> Iterator[tuple[int, Result]]:
        """The index of every line that a shard holds, in order, and what counts for it."""
        for begin, end, numbers in segments(self._plans):
            shelves = [self._shelves[number] for number in numbers]
            if len(numbers) == 1:
                number, take = numbers[0], shelves[0].take
                for index in range(begin, end):
                    yield index, Result(number, take())
            else:
                for index in range(begin, end):
                    places = [
                        Result(number, shelf.take())
                        for number, shelf in zip(numbers, shelves, strict=True)
                    ]
                    yield index, self._choose(places)
                    self.late.clear()
            for shelf in shelves:
                shelf.close_at_end()

    def content(self, result: Result) -> bytes:
        """The bytes of the result given last. Raises JournalError when the job directory lacks them."""
        return self._shelves[result.shard].read(result.place)

    def _choose(self, places: list[Result]) -> Result:
        best = places[0]
        for other in places[1:]:
            if best.place.verdict.outcome is not Outcome.OK:
                best = other
            elif other.place.verdict.outcome is Outcome.OK:
                self.late.append(other)
        return best


class _Shelf:
    """The places of one shard, from front to back. Files are open while lines are taken from it."""

    def __init__(self, plan: Planned, directory: JobDirectory) -> None:
        self._directory = directory
        self._number = plan.shard
        self._lines = plan.lines
        self._next = 0
        self._index: Index | None = None
        self._streams: dict[Source, FileIO] = {}

    def take(self) -> Place:
        """The place of the next line."""
        try:
            if self._index is None:
                self._index = Index.from_bytes(self._directory.index(self._number).read_bytes())
            place = self._index.at(self._next)
        except (OSError, LookupError, ValueError) as error:
            raise self._lacking(error) from error
        self._next += 1
        return place

    def read(self, place: Place) -> bytes:
        """The result there."""
        try:
            stream = self._streams.get(place.source)
            if stream is None:
                path = self._directory.file(self._number, place.source)
                stream = self._streams[place.source] = path.open("rb", buffering=0)
            content = read_at(stream, place.offset, place.length)
        except OSError as error:
            raise self._lacking(error) from error
        if len(content) != place.length:
            raise self._lacking(f"{stream.name} ends early")
        return content

    def close_at_end(self) -> None:
        """Close the files and forget the places once the last line was taken."""
        if self._next == self._lines:
            self.close()

    def close(self) -> None:
        """Close the files and forget the places."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._index = None

    def _lacking(self, reason: object) -> JournalError:
        return JournalError(
            f"the job directory lacks results of shard {self._number}: {reason}",
            hint="restore the files below 'shards' in the job directory",
        )
