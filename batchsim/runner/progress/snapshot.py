"""Progress: a snapshot of a running job, cheap enough to be taken after every step."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from batchsim.domain.batches import Usage
from batchsim.domain.limits import OPENAI
from batchsim.runner.job import Counts, JobState, ShardState, Stage, lines_done
from batchsim.runner.journal.job_entries import Finished, Started
from batchsim.runner.journal.shard_entries import Origin
from batchsim.runner.progress.messages import Message
from batchsim.runner.schedule.remote_cleanup import expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardProgress:
    """How far one shard is. Times are unix seconds, None where there is none.

    `status` is that of its batch, as the service spells it, and before there is a batch the stage
    (waiting, uploading, uploaded, creating). `done` and `failed` count lines as Progress does.
    `usage` is the sum over the results, or what the batch reports of itself. `created_at` and
    `expires_at` are the batch's own.
    """

    shard: int
    batch_id: str | None
    endpoint: str
    model: str | None
    stage: Stage
    status: str
    lines: int
    done: int
    failed: int
    usage: Usage
    created_at: int | None
    expires_at: int | None
    is_synchronous: bool = False
    """Its lines are sent one by one, at the ordinary price."""
    recorded_cost: Decimal = Decimal(0)
    """In US dollars."""

    @property
    def is_running(self) -> bool:
        return self.stage is Stage.LIVE

    @property
    def is_waiting(self) -> bool:
        """True while it has neither a batch nor results."""
        return self.batch_id is None and self.stage is not Stage.COLLECTED


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is. Times are unix seconds on the backend's clock.

    `done` counts the lines that ran, or whose result is known, and `failed` those of them without a
    good result. A line that is sent again is neither until it has run again. `batches` counts the
    batches by status. `by_shard` and `results_expire` are only computed when they are read.
    """

    lines: int
    started: float
    now: float
    latest: Message
    skipped: int
    """Invalid lines that were left out. They are done, and failed."""
    counts: Counts
    """The sums over the shards. A line that was sent again counts each time."""
    states: tuple[ShardState, ...]
    start: Started | None = None
    finished: Finished | None = None
    finished_at: float | None = None
    rounds: int = 0

    @property
    def message(self) -> str:
        if self.latest.shard is None or self.shards < 2:
            return self.latest.text
        return f"shard {self.latest.shard} of {self.shards}: {self.latest.text}"

    @property
    def shards(self) -> int:
        return len(self.states)

    @property
    def done(self) -> int:
        """Lines that ran, well or not, or whose result is known."""
        if self.finished is not None:
            return self.finished.tally.lines
        return max(0, self.counts.done - self._resent + self.skipped)

    @property
    def failed(self) -> int:
        """Lines of those done that have no good result.

        Adopted batches may hold a line twice that was good the first time. So before the end this
        is the least that it can be.
        """
        if self.finished is not None:
            return self.finished.tally.lines - self.finished.tally.ok
        return max(0, self.counts.failed - self._resent + self.skipped)

    @property
    def batches(self) -> Mapping[str, int]:
        return self.counts.batches

    @cached_property
    def results_expire(self) -> float | None:
        """When the first result file that is still to be downloaded expires, if there is one."""
        return expiry(self.states, OPENAI)

    @cached_property
    def by_shard(self) -> tuple[ShardProgress, ...]:
        return tuple(map(shard_progress, self.states))

    @property
    def unfound(self) -> dict[int, str]:
        """The input files, by shard, of batches that may exist and were given up."""
        return unfound(self.states)

    @property
    def _resent(self) -> int:
        return self.counts.sent + self.skipped - self.lines


def progress(state: JobState, now: float, latest: Message | None = None) -> Progress:
    return Progress(
        lines=state.started.lines if state.started else 0,
        started=state.started_at,
        now=now,
        latest=latest or Message(),
        skipped=state.skipped.lines if state.skipped else 0,
        counts=state.counts.copy(),
        states=tuple(state.shards.values()),
        start=state.started,
        finished=state.finished,
        finished_at=state.finished_at if state.finished else None,
        rounds=state.round,
    )


def shard_progress(shard: ShardState) -> ShardProgress:
    batch, plan = shard.batch, shard.plan
    done, failed = lines_done(shard)
    return ShardProgress(
        shard=plan.shard,
        batch_id=batch.id if batch else None,
        endpoint=plan.endpoint,
        model=plan.model,
        stage=shard.stage,
        status=(batch.unknown_status or str(batch.status)) if batch else str(shard.stage),
        lines=plan.lines,
        done=done,
        failed=failed,
        usage=_usage(shard),
        created_at=batch.created_at if batch else None,
        expires_at=batch.expires_at if batch else None,
        is_synchronous=plan.origin is Origin.SYNCHRONOUS,
        recorded_cost=shard.spent,
    )


def unfound(shards: Iterable[ShardState]) -> dict[int, str]:
    return {
        shard.plan.shard: shard.uploads[-1]
        for shard in shards
        if shard.has_unfound_batch and shard.batch is None
    }


def _usage(shard: ShardState) -> Usage:
    if shard.tally is not None:
        return shard.tally.usage
    return shard.batch.usage if shard.batch else Usage()
