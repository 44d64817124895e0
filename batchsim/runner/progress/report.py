"""The Report of a finished job."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from batchsim.domain.batches import Usage
from batchsim.errors import JournalError
from batchsim.runner.job import JobState
from batchsim.runner.journal import Anomaly
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Origin
from batchsim.runner.progress.snapshot import unfound


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a finished job.

    `ok`, `failed`, `expired`, `cancelled`, `missing` and `invalid` add up to `lines`; each line
    counts by its last result. A `failed` line ran and got no 2xx answer, or its batch failed. Of a
    `missing` line the service said nothing; an `invalid` one was never sent. `usage` is the sum
    over the good results. `quarantined` counts result lines that belong to no line (doubled,
    foreign, unreadable); they are kept in the job directory. `batches` are the ids by shard.
    `seconds` is the time from start to results on the backend's clock. `rounds` counts how many
    times lines were sent again; `resent` counts those lines, each as often as it was sent.
    `synchronous` counts the lines that were sent without a batch. `late` counts good results of
    lines that had a good one before. `differences` lists, by shard, what was wrong with its
    results. `ledger` is a file of one record per line (batchsim.runner.results.assemble).
    """

    lines: int
    ok: int
    failed: int
    expired: int
    cancelled: int
    missing: int
    invalid: int
    quarantined: int
    usage: Usage
    batches: tuple[str, ...]
    shards: int
    results: Path
    ledger: Path
    seconds: float
    rounds: int
    resent: int
    synchronous: int
    late: int
    differences: Mapping[int, tuple[Anomaly, ...]]
    """By shard. A shard without any is absent."""
    unfound: Mapping[int, str]
    """The input files, by shard, of batches that may exist and were given up."""

    @property
    def all_ok(self) -> bool:
        return self.ok == self.lines


def report(state: JobState, results: Path, ledger: Path) -> Report:
    """Return the report of a finished job. Raises JournalError when it is not finished."""
    if state.finished is None:
        raise JournalError("the job is not finished, so there is no report of it")
    tally, shards = state.finished.tally, state.shards
    counts = {each.name: getattr(tally, each.name) for each in fields(Tally)}
    return Report(
        **counts,
        lines=tally.lines,
        batches=tuple(shard.batch.id for shard in shards.values() if shard.batch),
        shards=len(shards),
        results=results,
        ledger=ledger,
        seconds=state.finished_at - state.started_at,
        rounds=state.round,
        resent=sum(shard.plan.lines for shard in shards.values()) + tally.invalid - tally.lines,
        synchronous=sum(
            shard.plan.lines for shard in shards.values() if shard.plan.origin is Origin.SYNCHRONOUS
        ),
        late=state.finished.late,
        differences={
            number: shard.differences for number, shard in shards.items() if shard.differences
        },
        unfound=unfound(shards.values()),
    )
