"""The next round: the lines whose last result is retriable, as shards of their own.

It follows from the shards' indexes and the input alone: planned again after a crash it is the same.
The lines are read from the input in one pass, and are grouped and cut as all lines are
(batchsim.runner.planning.plan).
"""

from collections.abc import Sequence
from pathlib import Path

from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLines
from batchsim.jsonl import open_input, read_lines
from batchsim.runner.job import JobDirectory
from batchsim.runner.journal.shard_entries import Planned
from batchsim.runner.planning.request_lines import read_request
from batchsim.runner.planning.sharding import Builder
from batchsim.runner.results.merge_rounds import MergedRounds


def plan_round(
    plans: Sequence[Planned], directory: JobDirectory, source: Path, limits: Limits, *, round: int
) -> tuple[Planned, ...]:
    """Return the shards of `round`, the one after `plans`; none when no line is retriable.

    Raises JournalError when the job directory lacks an index.
    """
    builder = Builder(limits, shards=max(plan.shard for plan in plans), round=round)
    with open_input(source) as stream, MergedRounds(plans, directory) as merged:
        lines = read_lines(stream, longest=limits.line_bytes)
        for ending, line in zip(merged.endings(), lines, strict=False):
            request = read_request(line) if ending.is_retriable else None
            if request is not None:
                builder.add(RequestLines.of(line, request))
        return builder.shards()
