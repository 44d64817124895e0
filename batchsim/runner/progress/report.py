"""What a job tells: Progress while it runs, a Report at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from batchsim.domain.batches import Usage
from batchsim.domain.limits import OPENAI
from batchsim.errors import JournalError
from batchsim.runner.job.shard_state import ShardState, Stage
from batchsim.runner.job.state import Counts, State, lines_done
from batchsim.runner.journal.anomalies import Difference
from batchsim.runner.journal.shard_entries import Origin
from batchsim.runner.progress.messages import News
from batchsim.runner.schedule.remote_cleanup import expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardProgress:
    """Where one shard stands.

    `status` is its batch's, as the service spells it, and before there is one its stage (waiting,
    uploading, uploaded, creating). `done` and `failed` count lines as Progress does. `usage` is
    what is known to be paid: the sum over the results, or what the batch says of itself. Times are
    unix seconds, None when there is none: `created_at` and `expires_at` are the batch's own.
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
    """Whether its lines are asked for one by one, at the ordinary price."""
    settled: Decimal = Decimal(0)
    """What is settled for it, in US dollars."""

    @property
    def is_running(self) -> bool:
        """Whether its batch is at the service and has not ended."""
        return self.stage is Stage.LIVE

    @property
    def is_waiting(self) -> bool:
        """Whether it has no batch and no results yet."""
        return self.batch_id is None and self.stage is not Stage.COLLECTED


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a job stands. Times are unix seconds on the backend's clock.

    `done` counts the lines that ran or were given their place in the results, `failed` those of
    them that did not run well; lines that are sent again are neither until they have run again. `batches` counts the batches by status. What is not asked for is not worked out.
    """

    lines: int
    started: float
    now: float
    news: News
    """The latest thing that was new."""
    skipped: int
    """Invalid lines that are left out; they are done, and failed."""
    counts: Counts
    """The sums over the shards; here lines that were sent again are counted each time."""
    states: tuple[ShardState, ...]
    """The shards as the runner knows them."""

    @property
    def message(self) -> str:
        """One line of text about the latest thing that was new."""
        if self.news.shard is None or self.shards < 2:
            return self.news.text
        return f"shard {self.news.shard} of {self.shards}: {self.news.text}"

    @property
    def shards(self) -> int:
        """How many shards the job has."""
        return len(self.states)

    @property
    def done(self) -> int:
        """Lines that ran, well or not, or have their place in the results."""
        return self.counts.done - self._resent + self.skipped

    @property
    def failed(self) -> int:
        """Lines of those done that did not run well."""
        return self.counts.failed - self._resent + self.skipped

    @property
    def batches(self) -> Mapping[str, int]:
        """How many batches have each status."""
        return self.counts.batches

    @cached_property
    def results_expire(self) -> float | None:
        """When the first result file that is not here yet expires (unix seconds), if any is left."""
        return expiry(self.states, OPENAI)

    @cached_property
    def by_shard(self) -> tuple[ShardProgress, ...]:
        """Where each shard stands, in their order."""
        return tuple(map(shard_progress, self.states))

    @property
    def _resent(self) -> int:
        return self.counts.sent + self.skipped - self.lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a finished job.

    `ok`, `failed`, `expired`, `cancelled`, `missing` and `invalid` add up to `lines`, each line in
    the account of its last result. `failed` ran and got no 2xx answer, or their batch failed;
    `missing` are those of which the service said nothing; `invalid` were never sent.
    `usage` is summed over the bodies of all results that are good. `quarantined` counts result
    lines that have no place (doubled, foreign, unreadable); they lie in the job directory.
    `batches` are the ids by shard. `seconds` have passed on the backend's clock from start to
    results. `rounds` counts the times that lines were sent again, `resent` those lines, each as
    often as it was, and `synchronous` those asked for without a batch; `late` are good results for lines that had one. `differences` say in which
    ways each shard's results were not as they should be. `ledger` is the file with one account per
    line (batchsim.runner.results.assemble).
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
    differences: Mapping[int, tuple[Difference, ...]]
    """By shard; a shard without any is absent."""
    unfound: Mapping[int, str]
    """Batches that may exist and were not found when the job ended: their input files by shard."""

    @property
    def all_ok(self) -> bool:
        """Whether every line has a good result."""
        return self.ok == self.lines


def report(state: State, results: Path, ledger: Path) -> Report:
    """The report of a job whose `state` is finished. Raises JournalError when it is not."""
    if state.finished is None:
        raise JournalError("the job is not finished, so there is no report of it")
    tally = state.finished.tally
    shards = state.shards
    return Report(
        lines=tally.lines,
        ok=tally.ok,
        failed=tally.failed,
        expired=tally.expired,
        cancelled=tally.cancelled,
        missing=tally.missing,
        invalid=tally.invalid,
        quarantined=tally.quarantined,
        usage=tally.usage,
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


def unfound(shards: Iterable[ShardState]) -> dict[int, str]:
    """The input files, by shard, of batches that may exist and that the job ended without."""
    return {
        shard.plan.shard: shard.uploads[-1]
        for shard in shards
        if shard.is_left and shard.batch is None
    }


def progress(state: State, now: float, news: News | None = None) -> Progress:
    """Where the job stands `now` (unix seconds), and the latest news of it."""
    return Progress(
        lines=state.started.lines if state.started else 0,
        started=state.started_at,
        now=now,
        news=news or News(),
        skipped=state.skipped.lines if state.skipped else 0,
        counts=state.counts.copy(),
        states=tuple(state.shards.values()),
    )


def shard_progress(shard: ShardState) -> ShardProgress:
    """Where the shard stands."""
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
        settled=shard.settled,
    )


def _usage(shard: ShardState) -> Usage:
    if shard.tally is not None:
        return shard.tally.usage
    return shard.batch.usage if shard.batch else Usage()
