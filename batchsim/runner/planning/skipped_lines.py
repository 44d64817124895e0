"""The invalid lines of an input that are left out: each gets a placeholder and is never sent.

Theory of operation. Planning finds them and spools their placeholders. These are written into the
job directory before the journal says that the job has begun, as the results of a shard with the
number 0, which holds no bytes and has no batch. So they take part in ordering and in the ledger
like all lines, and in nothing else.
"""

import hashlib
from array import array

from batchsim.domain.batches import BatchError
from batchsim.domain.lines import LineError
from batchsim.jsonl import Line, replace_file
from batchsim.runner.job import JobDirectory
from batchsim.runner.journal.job_entries import Skipped
from batchsim.runner.journal.shard_entries import Planned, Source
from batchsim.runner.planning.request_lines import read_custom_id
from batchsim.runner.results import shard_index
from batchsim.runner.results.outcomes import Ending, Outcome
from batchsim.runner.results.placeholders import placeholder
from batchsim.stores.spool import Spool

SHARD = 0
"""The number of the shard that stands for the invalid lines."""


class SkippedLines:
    def __init__(self) -> None:
        self._spool = Spool()
        self._lengths = array("Q")
        self._ranges = array("Q")

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, line: Line, error: BatchError) -> None:
        reason = LineError(error.code, error.message)
        content = placeholder(read_custom_id(line.content), reason)
        self._spool.append(content + b"\n")
        self._lengths.append(len(content))
        index, ranges = line.number - 1, self._ranges
        if ranges and ranges[-4] + ranges[-3] == index:
            ranges[-3] += 1
        else:
            ranges.extend((index, 1, 0, 0))

    def entry(self) -> Skipped:
        return Skipped(lines=len(self), ranges=self._ranges)

    def write(self, directory: JobDirectory) -> None:
        index = shard_index.ShardIndex.empty(len(self))
        offset = 0
        synced = directory.outlasts_power
        with replace_file(directory.file(SHARD, Source.RECORDS), synced=synced) as stream:
            writer = shard_index.PlaceholderWriter(stream.write)
            for position, length in enumerate(self._lengths):
                writer.write(self._spool.read(offset, length + 1))
                ending = Ending(Outcome.INVALID)
                location = shard_index.ResultLocation(offset, length, Source.RECORDS, ending, None)
                index.put(position, location)
                offset += length + 1
        with replace_file(directory.index(SHARD), synced=synced) as stream:
            shard_index.write_index(stream, index, writer)


def stand_in(skipped: Skipped) -> Planned:
    return Planned(
        shard=SHARD,
        endpoint="",
        model=None,
        lines=skipped.lines,
        bytes=0,
        tokens=0,
        fingerprint=hashlib.sha256().hexdigest(),
        ranges=skipped.ranges,
    )
