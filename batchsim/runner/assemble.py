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
from pathlib import Path
from typing import NamedTuple

import orjson

from batchsim.domain.batches import Usage
from batchsim.errors import JournalError
from batchsim.jsonl import replace_file
from batchsim.runner.directory import JobDirectory
from batchsim.runner.entries import Tally
from batchsim.runner.outcomes import Outcome
from batchsim.runner.overlay import Overlay, Result
from batchsim.runner.shard_entries import Planned

_LEADING_ID = re.compile(
    rb'\s*\{\s*(?:"id"\s*:\s*(?:null|"[^"\\]*")\s*,\s*)?"custom_id"\s*:\s*("[^"\\]*")'
)
"""A custom_id where every service writes it, and without escapes: no need to parse the line."""


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
) -> Assembled:
    """Write the results of all shards and the ledger, in input order.

    `lines` is how many the input has, `batches` the batch's id by shard. Raises JournalError when a
    file that the job had collected is no longer there, or when a line would have no record.
    """
    counts: Counter[Outcome] = Counter()
    late = expected = 0
    with ExitStack() as stack:
        overlay = stack.enter_context(Overlay(plans, directory))
        stream = stack.enter_context(replace_file(results))
        ledger = stack.enter_context(replace_file(directory.ledger))
        aside = stack.enter_context(replace_file(directory.late))
        clerk = _Clerk(plans, batches)
        for index, result in overlay.results():
            if index != expected:
                raise _without_record(expected, index)
            expected += 1
            for each in overlay.late:
                aside.write(overlay.content(each) + b"\n")
                late += 1
            content = overlay.content(result)
            stream.write(content + b"\n")
            ledger.write(clerk.account(index, result, content))
            counts[result.place.verdict.outcome] += 1
        if expected != lines:
            raise _without_record(expected, lines)
        size = stream.tell()
    if not late:
        directory.late.unlink()
    return Assembled(
        size, Tally(**{each.word: counts[each] for each in Outcome}, usage=Usage()), late
    )


def _without_record(first: int, end: int) -> JournalError:
    return JournalError(
        f"lines {first + 1:,} to {end:,} of the input are in no shard",
        hint="the journal is not this job's, or lacks its end: restore a copy",
    )


class _Clerk:
    """Writes the ledger's lines."""

    def __init__(self, plans: Sequence[Planned], batches: Mapping[int, str]) -> None:
        self._ends = {
            plan.shard: f', "round": {plan.round}, "batch": '
            f"{json.dumps(batches.get(plan.shard))}}}\n".encode()
            for plan in plans
        }

    def account(self, index: int, result: Result, content: bytes) -> bytes:
        """The line about one result, whose bytes are `content`."""
        place = result.place
        leading = _LEADING_ID.match(content)
        custom_id = leading[1] if leading else _custom_id_in(content)
        code = b"null" if place.status_code is None else b"%d" % place.status_code
        return b'{"line": %d, "custom_id": %b, "outcome": "%b", "status_code": %b%b' % (
            index + 1,
            custom_id,
            _WORDS[place.verdict.outcome],
            code,
            self._ends[result.shard],
        )


_WORDS = {outcome: outcome.word.encode() for outcome in Outcome}


def _custom_id_in(content: bytes) -> bytes:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = json.loads(content)
    return json.dumps(value["custom_id"]).encode()
