"""The results file and the ledger: one record and one account per input line, in input order.

The bytes that a service wrote are copied, never written anew. The ledger is a JSONL file of one
object per line: `line` (from 1), `custom_id` (null where the line has none), `outcome`,
`status_code` (null where there was no answer), `round`, and `batch`, the id of the batch that the
result is from (null for lines that were in none).
"""

from __future__ import annotations

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
from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Planned
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.results.merge_rounds import Overlay, Stretch
from batchsim.runner.results.outcomes import Outcome
from batchsim.runner.results.shard_index import status_code, verdict

_match_leading_id = re.compile(
    rb'\{(?:"id": ?(?:null|"[^"\\]*+"), ?)?"custom_id": ?("[^"\\]*+")'
).match
"""A custom_id where every service writes it, and without escapes: no need to parse the line."""


_ACCOUNT = b'{"line": %d, "custom_id": %b%b'
"""A line of the ledger. Many are formatted at once, in half the time of one by one."""


class Assembled(NamedTuple):
    """The size of the results file, what became of the lines, and how many good results came late."""

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
    put_aside: CustomIdSpool | None = None,
) -> Assembled:
    """Write the results of all shards and the ledger, in input order.

    `lines` is how many the input has, `batches` the batch's id by shard, `put_aside` the custom_ids
    that planning has put aside, if this process has planned. Raises JournalError when a file that
    the job had collected is no longer there, or when a line would have no record.
    """
    late = expected = 0
    with ExitStack() as stack:
        overlay = stack.enter_context(Overlay(plans, directory, put_aside))
        stream = stack.enter_context(replace_file(results))
        ledger = stack.enter_context(
            replace_file(directory.ledger, synced=directory.outlasts_power)
        )
        keep_apart = stack.enter_context(
            replace_or_remove(directory.late, synced=directory.outlasts_power)
        )
        clerk = _Clerk(plans, batches)
        for stretch in overlay.stretches():
            if stretch.begin != expected:
                raise _without_record(expected, stretch.begin)
            expected += len(stretch.taken.places)
            for each in stretch.late:
                (content,) = overlay.contents(each)
                keep_apart(content + b"\n")
                late += 1
            contents = overlay.contents(stretch.taken)
            ledger.write(clerk.accounts(stretch, contents))
            contents.append(b"")
            stream.write(b"\n".join(contents))
        if expected != lines:
            raise _without_record(expected, lines)
        size = stream.tell()
    return Assembled(size, clerk.tally(), late)


def _without_record(first: int, end: int) -> JournalError:
    return JournalError(
        f"lines {first + 1:,} to {end:,} of the input are in no shard",
        hint="the journal is not this job's, or lacks its end: restore a copy",
    )


class _Clerk:
    """Writes the ledger's lines, and counts what became of all."""

    def __init__(self, plans: Sequence[Planned], batches: Mapping[int, str]) -> None:
        self._ends = {
            plan.shard: f', "round": {plan.round}, "batch": '
            f"{json.dumps(batches.get(plan.shard))}}}\n".encode()
            for plan in plans
        }
        self._endings: Counter[int] = Counter()

    def accounts(self, stretch: Stretch, contents: Sequence[bytes]) -> bytes:
        """The lines about a stretch whose results have these contents."""
        shard, places, told = stretch.taken
        endings = places.endings()
        self._endings.update(endings)
        rest = {each: self._rest(each, shard) for each in set(endings)}
        numbers = range(stretch.begin + 1, stretch.begin + 1 + len(contents))
        custom_ids = _plainly_quoted(told) or map(_custom_id_in, contents)
        parts = zip(numbers, custom_ids, map(rest.__getitem__, endings), strict=True)
        return _ACCOUNT * len(contents) % tuple(chain.from_iterable(parts))

    def tally(self) -> Tally:
        """What became of the lines."""
        counts: Counter[str] = Counter()
        for ending, count in self._endings.items():
            counts[verdict(ending).outcome.word] += count
        return Tally(**{each.word: counts[each.word] for each in Outcome}, usage=Usage())

    def _rest(self, ending: int, shard: int) -> bytes:
        code = status_code(ending)
        return b', "outcome": "%b", "status_code": %b%b' % (
            verdict(ending).outcome.word.encode(),
            b"null" if code is None else b"%d" % code,
            self._ends[shard],
        )


def _plainly_quoted(custom_ids: Sequence[str]) -> list[bytes]:
    """The ids as JSON, if all of them are the same however they are written; else none."""
    text = "".join(custom_ids)
    if not (text.isascii() and text.isprintable()) or '"' in text or "\\" in text:
        return []
    quoted = '"\n"'.join(custom_ids)
    return f'"{quoted}"'.encode().split(b"\n") if custom_ids else []


def _custom_id_in(content: bytes) -> bytes:
    leading = _match_leading_id(content)
    if leading:
        return leading[1]
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = json.loads(content)
    return json.dumps(value["custom_id"]).encode()
