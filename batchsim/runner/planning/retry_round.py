"""The next round: the lines whose last result is worth another try, as shards of their own.

A pure function of the shards' indexes and the input: planned again after a crash it comes out the
same. The lines are read where they lie in the input, in one pass, and are grouped and cut as all
lines are (batchsim.runner.planning.plan).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.jsonl import Line, open_input, read_lines
from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.journal.shard_entries import Planned
from batchsim.runner.planning.sharding import Builder
from batchsim.runner.results.merge_rounds import Overlay


def plan_round(
    plans: Sequence[Planned],
    directory: JobDirectory,
    source: Path,
    limits: Limits,
    *,
    round: int,
) -> tuple[Planned, ...]:
    """The shards of `round`, the one after `plans`; none when no line is worth another try.

    Raises JournalError when the job directory lacks an index.
    """
    builder = Builder(limits, shards=max(plan.shard for plan in plans), round=round)
    with open_input(source) as stream, Overlay(plans, directory) as overlay:
        lines = read_lines(stream, longest=limits.line_bytes)
        for (_, result), line in zip(overlay.results(), lines, strict=False):
            if not result.place.verdict.again:
                continue
            request = _request(line)
            if request is not None:
                builder.add(RequestLines.of(line, request))
        return builder.shards()


def _request(line: Line) -> RequestLine | None:
    """The request on a line; None where there is none, as others may have sent in their batches."""
    try:
        value = orjson.loads(line.content)
        body = value["body"]
        return RequestLine(line.number, value["custom_id"], value["url"], body.get("model"), body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
