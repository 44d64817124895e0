"""The results file and the ledger: one result and one short record per input line, in input order.

The bytes that a service wrote are copied, never changed. The ledger is a JSONL file of one object
per line: `line` (from 1), `custom_id` (null when the line has none), `outcome`, `status_code` (null
when there was no answer), `round`, and `batch`, the id of the batch that the result is from (null
for lines that were in none).
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import orjson

from batchsim.domain.batches import Usage
from batchsim.errors import JournalError
from batchsim.jsonl import replace_file, replace_or_remove
from batchsim.runner.job import JobDirectory
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Planned
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.results.merge_rounds import MergedRounds, Stretch
from batchsim.runner.results.shard_index import ending, outcomes, status_code

_match_leading_id = re.compile(
    rb'\{(?:"id": ?(?:null|"[^"\\]*+"), ?)?"custom_id": ?("[^"\\]*+")'
).match
"""A custom_id at its usual position and without escapes: the line need not be parsed."""

_RECORD = b'{"line": %d, "custom_id": %b%b'
"""A line of the ledger. Many are formatted at once, in half the time of one by one."""


class Assembled(NamedTuple):
    """The size of the results file, the outcomes, and how many good results came late."""

    bytes: int
    tally: Tally
    late: int


def assemble(
    plans: Sequence[Planned],
    directory: JobDirectory,
    results: Path,
    *,
    lines: int,
    batches: Mapping[int, str],
    spool: CustomIdSpool | None = None,
) -> Assembled:
    """Write the results of all shards and the ledger, in input order.

    `lines` is how many the input has, `batches` the batch's id by shard, and `spool` holds the
    custom_ids if this process has planned. Raises JournalError when a collected file is no longer
    there, or when a line would have no result.
    """
    late = expected = 0
    with ExitStack() as stack:
        merged = stack.enter_context(MergedRounds(plans, directory, spool))
        stream = stack.enter_context(replace_file(results))
        ledger = stack.enter_context(
            replace_file(directory.ledger, synced=directory.outlasts_power)
        )
        write_late = stack.enter_context(
            replace_or_remove(directory.late, synced=directory.outlasts_power)
        )
        records = _LedgerRecords(plans, batches)
        for stretch in merged.stretches():
            if stretch.begin != expected:
                raise _without_shard(expected, stretch.begin)
            expected += len(stretch.lines.locations)
            for each in stretch.late:
                (content,) = merged.contents(each)
                write_late(content + b"\n")
                late += 1
            contents = merged.contents(stretch.lines)
            ledger.write(records.of(stretch, contents))
            contents.append(b"")
            stream.write(b"\n".join(contents))
        if expected != lines:
            raise _without_shard(expected, lines)
        size = stream.tell()
    return Assembled(size, records.tally(), late)


def _without_shard(first: int, end: int) -> JournalError:
    return JournalError(
        f"lines {first + 1:,} to {end:,} of the input are in no shard",
        hint="the journal is not this job's, or lacks its end: restore a copy",
    )


class _LedgerRecords:
    def __init__(self, plans: Sequence[Planned], batches: Mapping[int, str]) -> None:
        self._ends = {
            plan.shard: f', "round": {plan.round}, "batch": '
            f"{json.dumps(batches.get(plan.shard))}}}\n".encode()
            for plan in plans
        }
        self._counts: Counter[int] = Counter()

    def of(self, stretch: Stretch, contents: Sequence[bytes]) -> bytes:
        shard, locations, known_ids = stretch.lines
        codes = locations.ending_codes()
        self._counts.update(codes)
        rest = {each: self._rest(each, shard) for each in set(codes)}
        numbers = range(stretch.begin + 1, stretch.begin + 1 + len(contents))
        custom_ids = _quote_plain(known_ids) or map(_quoted_id_in, contents)
        parts = zip(numbers, custom_ids, map(rest.__getitem__, codes), strict=True)
        return _RECORD * len(contents) % tuple(chain.from_iterable(parts))

    def tally(self) -> Tally:
        return Tally(**outcomes(self._counts), usage=Usage())

    def _rest(self, code: int, shard: int) -> bytes:
        status = status_code(code)
        return b', "outcome": "%b", "status_code": %b%b' % (
            ending(code).outcome.word.encode(),
            b"null" if status is None else b"%d" % status,
            self._ends[shard],
        )


def _quote_plain(custom_ids: Sequence[str]) -> list[bytes]:
    """Return the ids as JSON, if there is only one way to write each of them; else none."""
    text = "".join(custom_ids)
    if not (text.isascii() and text.isprintable()) or '"' in text or "\\" in text:
        return []
    quoted = '"\n"'.join(custom_ids)
    return f'"{quoted}"'.encode().split(b"\n") if custom_ids else []


def _quoted_id_in(content: bytes) -> bytes:
    leading = _match_leading_id(content)
    if leading:
        return leading[1]
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = json.loads(content)
    return json.dumps(value["custom_id"]).encode()
