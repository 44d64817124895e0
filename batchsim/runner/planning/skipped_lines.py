"""The invalid lines of an input that are left out: each gets a record of ours, and is never sent.

Theory of operation. Planning finds them and puts their records aside; they are written into the job
directory before the journal says that the job has begun, as the results of a shard with the
number 0, which holds no bytes and has no batch. So they take part in ordering and in the ledger
like all lines, and in nothing else.
"""

from __future__ import annotations

import hashlib
from array import array

import orjson

from batchsim.domain.batches import BatchError
from batchsim.domain.lines import LineError
from batchsim.jsonl import Line, replace_file
from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.journal.job_entries import Skipped
from batchsim.runner.journal.shard_entries import Planned, Source
from batchsim.runner.results.outcomes import Outcome, Verdict
from batchsim.runner.results.placeholders import record
from batchsim.runner.results.shard_index import Index, Place, Records, write_index
from batchsim.stores.spool import Spool

SHARD = 0
"""The number under which the records of invalid lines are kept."""


class SkippedLines:
    """Invalid lines, in input order."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._lengths = array("Q")
        self._ranges = array("Q")

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, line: Line, error: BatchError) -> None:
        """Leave out a line, with what is wrong with it."""
        content = record(_custom_id(line.content), LineError(error.code, error.message))
        self._spool.append(content + b"\n")
        self._lengths.append(len(content))
        index, ranges = line.number - 1, self._ranges
        if ranges and ranges[-4] + ranges[-3] == index:
            ranges[-3] += 1
        else:
            ranges.extend((index, 1, 0, 0))

    def entry(self) -> Skipped:
        """What the journal says of them."""
        return Skipped(lines=len(self), ranges=self._ranges)

    def write(self, directory: JobDirectory) -> None:
        """Put their records and their places into the job directory."""
        index = Index.empty(len(self))
        offset = 0
        synced = directory.outlasts_power
        with replace_file(directory.file(SHARD, Source.RECORDS), synced=synced) as stream:
            records = Records(stream.write)
            for position, length in enumerate(self._lengths):
                records.write(self._spool.read(offset, length + 1))
                verdict = Verdict(Outcome.INVALID)
                index.put(position, Place(offset, length, Source.RECORDS, verdict, None))
                offset += length + 1
        with replace_file(directory.index(SHARD), synced=synced) as stream:
            write_index(stream, index, records)


def stand_in(skipped: Skipped) -> Planned:
    """The shard that stands for the lines that were left out."""
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


def _custom_id(content: bytes) -> str | None:
    """The custom_id of an invalid line, where it has one."""
    try:
        value = orjson.loads(content)
    except ValueError:
        return None
    custom_id = value.get("custom_id") if isinstance(value, dict) else None
    return custom_id if isinstance(custom_id, str) else None
