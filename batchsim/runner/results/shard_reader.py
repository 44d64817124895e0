"""A reader of one shard's results from front to back, wherever they lie in the result files.

Theory of operation. Results may lie in any order, and each one takes a read of its own when they
are scattered; that is most of what restoring the order costs. But a service often writes them
nearly in the order of the input: then the results of neighbouring lines lie close together, and
are read at once.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import accumulate, islice
from operator import add
from typing import NamedTuple

from batchsim.errors import JournalError
from batchsim.jsonl import BLOCK, expect_scattered_reads, read_all_at, read_at
from batchsim.runner.job import JobDirectory
from batchsim.runner.journal.shard_entries import Planned, Source
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.results.shard_index import ShardIndex, read_index

_LINES = 512
"""So many lines are taken at most; fewer when their results are longer than a BLOCK."""

_SPARSE = 4
"""Results are read at once when the gaps between them make the read at most so much longer."""


class LocatedLines(NamedTuple):
    """Where a shard has the results of neighbouring lines; their `custom_ids`, if spooled."""

    shard: int
    locations: ShardIndex
    custom_ids: Sequence[str] = ()


class ShardReader:
    """Reads one shard from front to back. Its files stay open while lines are taken."""

    def __init__(
        self, plan: Planned, directory: JobDirectory, spool: CustomIdSpool | None = None
    ) -> None:
        self.number = plan.shard
        self._directory = directory
        self._spool = spool
        self._lines = plan.lines
        self._next = 0
        self._index: ShardIndex | None = None
        self._custom_ids: Iterator[str] = iter(())
        self._streams: dict[Source, FileIO] = {}

    def take(self, most: int) -> LocatedLines:
        """Return the next lines, at most so many. Raises JournalError when a result is lacking."""
        try:
            if self._index is None:
                self._index = read_index(self._directory, self.number)
                if self._spool is not None and self._spool.holds(self.number):
                    self._custom_ids = self._spool.of_shard(self.number)
            index = self._index.part(self._next, self._next + min(most, _LINES))
            if not index or 0 in index.packed:
                raise ValueError("a line has no result")
        except (OSError, ValueError) as error:
            raise self._lacking(error) from error
        if len(index) > 1:
            ends = list(accumulate(index.lengths()))
            if ends[-1] > BLOCK:
                index = index.part(0, max(1, bisect_right(ends, BLOCK)))
        self._next += len(index)
        return LocatedLines(self.number, index, list(islice(self._custom_ids, len(index))))

    def read(self, index: ShardIndex) -> list[bytes]:
        """Return the results. Raises JournalError when they are not there."""
        lengths = index.lengths()
        contents: list[bytes] = []
        try:
            streams = {source: self._stream(source) for source in index.sources()}
            if len(streams) == 1:
                (stream,) = streams.values()
                contents = _read(stream, index.offsets, lengths)
            else:
                for position in range(len(index)):
                    offset, length, source, *_ = index.at(position)
                    contents.append(read_at(streams[source], offset, length))
        except OSError as error:
            raise self._lacking(error) from error
        if list(map(len, contents)) != lengths:
            raise self._lacking("a result file ends early")
        return contents

    def _stream(self, source: Source) -> FileIO:
        stream = self._streams.get(source)
        if stream is None:
            path = self._directory.file(self.number, source)
            stream = self._streams[source] = path.open("rb", buffering=0)
            expect_scattered_reads(stream)
        return stream

    def close_at_end(self) -> None:
        if self._next == self._lines:
            self.close()

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._index = None
        self._custom_ids = iter(())

    def _lacking(self, reason: object) -> JournalError:
        return JournalError(
            f"the job directory lacks results of shard {self.number}: {reason}",
            hint="the command that began the job mends what it can; else restore the files below "
            "'shards' in the job directory",
        )


def _read(stream: FileIO, offsets: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
    begin = min(offsets)
    size = max(map(add, offsets, lengths)) - begin
    if size > _SPARSE * sum(lengths):
        return read_all_at(stream, offsets, lengths)
    block = read_at(stream, begin, size)
    starts = [offset - begin for offset in offsets]
    return [block[at : at + length] for at, length in zip(starts, lengths, strict=True)]
