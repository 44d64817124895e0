"""Result files -> input order, with every line in exactly one account.

Theory of operation. A shard has at most 50,000 lines, so restoring order is done per shard: the
custom_ids of its lines in a dictionary, and for every line a place, which says in which file the
line's result begins and how long it is. The result files are read once; each of their lines is
parsed for its custom_id and its outcome, and what is kept of it is its place. The first result of
a line wins, in the order output file, error file; others, and those that answer no line, go into
quarantine. A line that ends up without a place gets a record of ours, in the API's own format.

The places are the shard's index, a file of two 64-bit numbers per line in the machine's byte
order: the offset, and the length times four plus the file. `assemble` follows the indexes of all
shards in input order and copies the bytes; what a service wrote is never written anew.
"""

from __future__ import annotations

import heapq
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from batchsim.domain.batches import Usage
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import LineError, ResultLine
from batchsim.errors import JournalError
from batchsim.jsonl import read_lines, replace_file
from batchsim.runner.directory import JobDirectory
from batchsim.runner.entries import Downloaded, FileGone, Planned, Source, Tally
from batchsim.runner.plan import runs
from batchsim.runner.state import ShardState

SOURCES = tuple(Source)
"""The files by the number that an index gives them."""

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, with which some compatible services begin a file (observed)."""


def collect(shard: ShardState, custom_ids: Iterable[str], directory: JobDirectory) -> Tally:
    """Find the place of every line's result; what became of the lines.

    `custom_ids` are those of the shard's lines, in order. Writes the shard's index, records and quarantine into the
    directory; doing so again gives the same bytes.
    """
    number = shard.plan.shard
    ids = {custom_id: position for position, custom_id in enumerate(custom_ids)}
    index = array("Q", bytes(16 * len(ids)))
    with ExitStack() as stack:
        quarantine = stack.enter_context(replace_file(directory.quarantine(number)))
        records = stack.enter_context(replace_file(directory.file(number, Source.RECORDS)))
        sorter = _Sorter(ids, index, quarantine)
        for source in (Source.OUTPUT, Source.ERROR):
            if isinstance(shard.file(source), Downloaded):
                stream = stack.enter_context(directory.file(number, source).open("rb"))
                sorter.sort(stream, source)
        sorter.fill_gaps(shard, records)
        stack.enter_context(replace_file(directory.index(number))).write(index.tobytes())
    for path in (directory.quarantine(number), directory.file(number, Source.RECORDS)):
        if not path.stat().st_size:
            path.unlink()
    return sorter.tally()


class _Sorter:
    """Gives result lines their places and counts the outcomes."""

    def __init__(self, ids: Mapping[str, int], index: array[int], quarantine: BinaryIO) -> None:
        self._ids = ids
        self._index = index
        self._quarantine = quarantine
        self._counts = dict.fromkeys(("ok", "failed", "expired", "cancelled", "missing"), 0)
        self._usage = Usage()
        self.quarantined = 0

    def sort(self, stream: BinaryIO, source: Source) -> None:
        """Give every line of a result file its place, or put it into quarantine."""
        file = SOURCES.index(source)
        for line in read_lines(stream):
            content, offset = line.content, line.offset
            if not offset and content.startswith(_MARK):
                content, offset = content[len(_MARK) :], len(_MARK)
            content = content.rstrip()
            if not content:
                continue
            result = read_result(content)
            position = None if result is None else self._ids.get(result.custom_id)
            if result is None or position is None or self._index[2 * position + 1]:
                self._quarantine.write(content + b"\n")
                self.quarantined += 1
                continue
            self._place(position, offset, len(content), file)
            self._count(result)

    def fill_gaps(self, shard: ShardState, records: BinaryIO) -> None:
        """Write a record for every line that has no place yet, and place it there."""
        named = _named_errors(shard)
        code, message, account = _explanation(shard)
        offset, file = 0, SOURCES.index(Source.RECORDS)
        for custom_id, position in self._ids.items():
            if self._index[2 * position + 1]:
                continue
            error = named.get(position + 1) or LineError(code, message)
            content = _record(custom_id, error)
            records.write(content + b"\n")
            self._place(position, offset, len(content), file)
            self._counts[account] += 1
            offset += len(content) + 1

    def tally(self) -> Tally:
        """What became of the lines so far."""
        return Tally(**self._counts, quarantined=self.quarantined, usage=self._usage)

    def _place(self, position: int, offset: int, length: int, file: int) -> None:
        self._index[2 * position] = offset
        self._index[2 * position + 1] = length << 2 | file

    def _count(self, result: ResultLine) -> None:
        if result.is_ok:
            self._counts["ok"] += 1
            self._usage += result.usage
        elif result.error is not None and result.error.code == "batch_expired":
            self._counts["expired"] += 1
        elif result.error is not None and result.error.code == "batch_cancelled":
            self._counts["cancelled"] += 1
        else:
            self._counts["failed"] += 1


def read_result(content: bytes) -> ResultLine | None:
    """The result on a line; None when it is none that can be placed."""
    try:
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError:
            value = json.loads(content)  # a paid answer with a NaN in it is still an answer
        return ResultLine.from_object(value)
    except (ValueError, RecursionError):
        return None


def _record(custom_id: str, error: LineError) -> bytes:
    value = {
        "id": None,
        "custom_id": custom_id,
        "response": None,
        "error": {"code": error.code, "message": error.message},
    }
    return json.dumps(value).encode()


def _named_errors(shard: ShardState) -> dict[int, LineError]:
    """What the service said of single lines of a failed batch, by their numbers in its file."""
    errors = shard.batch.errors if shard.batch else ()
    return {
        error.line: LineError(error.code, error.message)
        for error in reversed(errors)
        if error.line is not None
    }


def _explanation(shard: ShardState) -> tuple[str, str, str]:
    """Code, message and account of the lines of which no result file says anything."""
    batch = shard.batch
    assert batch is not None, "a shard that ended has a batch"  # noqa: S101 - for the type checker
    match batch.status:
        case Status.FAILED:
            reasons = "; ".join(f"{error.code}: {error.message}" for error in batch.errors[:3])
            message = f"The batch failed. {reasons}" if reasons else "The batch failed."
            return "batch_failed", message, "failed"
        case Status.EXPIRED:
            return (
                "batch_expired",
                "This request could not be executed before the completion window expired.",
                "expired",
            )
        case Status.CANCELLED:
            return (
                "batch_cancelled",
                "This request was not executed because the batch was cancelled.",
                "cancelled",
            )
    gone = [each for each in shard.files if isinstance(each, FileGone)]
    if gone:
        return "result_missing", f"The result file is gone: {gone[0].reason}", "missing"
    return "result_missing", f"The batch {batch.id} has no result for this request.", "missing"


def assemble(plans: Sequence[Planned], directory: JobDirectory, results: Path) -> int:
    """Write the results of all shards in input order; the size of the file.

    Raises JournalError when a file that the job had collected is no longer there.
    """
    ordered = heapq.merge(*map(_firsts, plans))
    lines = sum(plan.lines for plan in plans)
    with ExitStack() as stack, replace_file(results) as stream:
        shards = {plan.shard: stack.enter_context(_Places(plan, directory)) for plan in plans}
        for (index, number), (after, _) in pairwise(_ended(ordered, lines)):
            for content in shards[number].take(after - index):
                stream.write(content + b"\n")
        return stream.tell()


def _firsts(plan: Planned) -> Iterator[tuple[int, int]]:
    """The runs of the shard, each by the index of its first line."""
    for run in runs(plan.ranges):
        yield run.first, plan.shard


def _ended(ordered: Iterator[tuple[int, int]], lines: int) -> Iterator[tuple[int, int]]:
    yield from ordered
    yield lines, 0


class _Places:
    """The results of one shard, in its order. Files are open while lines are taken from it."""

    def __init__(self, plan: Planned, directory: JobDirectory) -> None:
        self._directory = directory
        self._number = plan.shard
        self._lines = plan.lines
        self._next = 0
        self._index = array("Q")
        self._streams: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def take(self, lines: int) -> Iterator[bytes]:
        """The results of the next so many lines."""
        try:
            if not self._index:
                self._index.frombytes(self._directory.index(self._number).read_bytes())
            for position in range(self._next, self._next + lines):
                yield self._read(self._index[2 * position], self._index[2 * position + 1])
        except (OSError, IndexError, ValueError) as error:
            raise JournalError(
                f"the job directory lacks results of shard {self._number}: {error}",
                hint="restore the files below 'shards' in the job directory",
            ) from error
        self._next += lines
        if self._next == self._lines:
            self._close()

    def _read(self, offset: int, place: int) -> bytes:
        length, number = place >> 2, place & 3
        stream = self._streams.get(number)
        if stream is None:
            path = self._directory.file(self._number, SOURCES[number])
            stream = self._streams[number] = path.open("rb", buffering=0)
        stream.seek(offset)
        content = stream.read(length)
        if len(content) != length:
            raise ValueError(f"{stream.name} ends early")
        return content

    def _close(self) -> None:
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._index = array("Q")
