"""What a job tells: Progress while it runs, a Report at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchsim.domain.batches import Usage
from batchsim.runner import entries
from batchsim.runner.state import ShardState, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job stands. Times are unix seconds on the backend's clock.

    `done` counts the lines that ran or were given their place in the results, `failed` those of
    them that did not run well. `batches` counts the batches by status. `message` is one line of
    text about the latest thing that was new.
    """

    lines: int
    done: int
    failed: int
    shards: int
    batches: Mapping[str, int]
    started: float
    now: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a finished job.

    `ok`, `failed`, `expired`, `cancelled` and `missing` add up to `lines`. `failed` ran and got no
    2xx answer, or their batch failed; `missing` are those of which the service said nothing.
    `usage` is summed over the bodies of the lines that ran well. `quarantined` counts result lines
    that answer no line (doubled, foreign, unreadable); they lie in the job directory. `batches`
    are the ids by shard. `seconds` have passed on the backend's clock from start to results.
    """

    lines: int
    ok: int
    failed: int
    expired: int
    cancelled: int
    missing: int
    quarantined: int
    usage: Usage
    batches: tuple[str, ...]
    shards: int
    results: Path
    seconds: float

    @property
    def all_ok(self) -> bool:
        """Whether every line has a good result."""
        return self.ok == self.lines


def report(state: State, results: Path) -> Report:
    """The report of a job whose `state` is finished."""
    tally = state.tally()
    return Report(
        lines=tally.lines,
        ok=tally.ok,
        failed=tally.failed,
        expired=tally.expired,
        cancelled=tally.cancelled,
        missing=tally.missing,
        quarantined=tally.quarantined,
        usage=tally.usage,
        batches=tuple(shard.batch.id for shard in state.shards.values() if shard.batch),
        shards=len(state.shards),
        results=results,
        seconds=state.finished_at - state.started_at,
    )


def progress(state: State, now: float, message: str) -> Progress:
    """Where the job stands `now` (unix seconds)."""
    counts = [_counts(shard) for shard in state.shards.values()]
    return Progress(
        lines=sum(shard.plan.lines for shard in state.shards.values()),
        done=sum(done for done, _ in counts),
        failed=sum(failed for _, failed in counts),
        shards=len(state.shards),
        batches=Counter(
            shard.batch.unknown_status or str(shard.batch.status)
            for shard in state.shards.values()
            if shard.batch
        ),
        started=state.started_at,
        now=now,
        message=message,
    )


def _counts(shard: ShardState) -> tuple[int, int]:
    """How many lines of the shard are done, and how many of those did not run well."""
    if shard.tally is not None:
        return shard.tally.lines, shard.tally.lines - shard.tally.ok
    if shard.batch is None:
        return 0, 0
    counts = shard.batch.request_counts
    return min(counts.completed + counts.failed, shard.plan.lines), counts.failed


def describe(entry: entries.Entry, state: State) -> str:
    """One line of text about what happened."""
    if not isinstance(entry, entries.ShardEntry):
        return _describe_job(entry)
    text = _describe_shard(entry)
    return f"shard {entry.shard} of {len(state.shards)}: {text}" if len(state.shards) > 1 else text


def _describe_job(entry: entries.Entry) -> str:
    match entry:
        case entries.Started():
            return f"{entry.lines:,} lines are valid"
        case entries.Finished():
            return "the results are written"
    return type(entry).__name__


def _describe_shard(entry: entries.ShardEntry) -> str:  # noqa: C901 - one case per kind of entry
    match entry:
        case entries.Planned():
            return f"{entry.lines:,} lines for {entry.model or 'no model'} at {entry.endpoint}"
        case entries.UploadIntended():
            return "uploading the input file"
        case entries.Uploaded():
            return f"{'found the upload' if entry.adopted else 'uploaded'} as {entry.file_id}"
        case entries.UploadDropped():
            return "nothing was uploaded"
        case entries.CreateRefused():
            return "no batch was created"
        case entries.BatchGivenUp() | entries.Blocked():
            return entry.reason
        case entries.CreateIntended():
            return "creating a batch"
        case entries.CreateUnknown():
            return f"{entry.reason}; looking for the batch"
        case entries.CreateAbandoned():
            return "the batch was not found; creating another"
        case entries.Created():
            return f"{'found' if entry.adopted else 'created'} {entry.batch.id}"
        case entries.Observed():
            return f"{entry.batch.id} is {entry.batch.unknown_status or entry.batch.status}"
        case entries.Downloaded():
            return f"downloaded {entry.file_id}, {entry.bytes:,} bytes"
        case entries.FileGone():
            return f"the {entry.source} file is gone: {entry.reason}"
        case entries.Collected():
            return f"{entry.tally.ok:,} of {entry.tally.lines:,} lines have a good result"
        case entries.Postponed():
            return f"{entry.reason}; trying again"
    return type(entry).__name__
