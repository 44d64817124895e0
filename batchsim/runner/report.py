"""What a job tells: Progress while it runs, a Report at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from batchsim.amounts import duration
from batchsim.domain.batches import Usage
from batchsim.domain.limits import OPENAI
from batchsim.errors import JournalError
from batchsim.runner import entries, shard_entries
from batchsim.runner.differences import Difference
from batchsim.runner.leftovers import expiry
from batchsim.runner.policy import OnUnknown, Policy
from batchsim.runner.shard_entries import Origin
from batchsim.runner.shard_state import ShardState, Stage
from batchsim.runner.state import State


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
        """Whether it has no batch yet."""
        return self.batch_id is None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a job stands. Times are unix seconds on the backend's clock.

    `done` counts the lines that ran or were given their place in the results, `failed` those of
    them that did not run well; lines that are sent again are neither until they have run again. `batches` counts the batches by status. `message` is one line of
    text about the latest thing that was new. What is not asked for is not worked out.
    """

    lines: int
    started: float
    now: float
    message: str
    skipped: int
    """Invalid lines that are left out; they are done, and failed."""
    states: tuple[ShardState, ...]
    """The shards as the runner knows them."""

    @property
    def shards(self) -> int:
        """How many shards the job has."""
        return len(self.states)

    @property
    def done(self) -> int:
        """Lines that ran, well or not, or have their place in the results."""
        return self._counts[0]

    @property
    def failed(self) -> int:
        """Lines of those done that did not run well."""
        return self._counts[1]

    @cached_property
    def batches(self) -> Mapping[str, int]:
        """How many batches have each status."""
        return Counter(
            shard.batch.unknown_status or str(shard.batch.status)
            for shard in self.states
            if shard.batch
        )

    @cached_property
    def results_expire(self) -> float | None:
        """When the first result file that is not here yet expires (unix seconds), if any is left."""
        return expiry(self.states, OPENAI)

    @cached_property
    def by_shard(self) -> tuple[ShardProgress, ...]:
        """Where each shard stands, in their order."""
        return tuple(map(_shard_progress, self.states))

    @cached_property
    def _counts(self) -> tuple[int, int]:
        counts = [_counts(shard) for shard in self.states]
        sent = sum(shard.plan.lines for shard in self.states)
        resent = sent + self.skipped - self.lines
        done, failed = sum(done for done, _ in counts), sum(failed for _, failed in counts)
        return done - resent + self.skipped, failed - resent + self.skipped


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
    line (batchsim.runner.assemble).
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
    )


def progress(state: State, now: float, message: str) -> Progress:
    """Where the job stands `now` (unix seconds)."""
    return Progress(
        lines=state.started.lines if state.started else 0,
        started=state.started_at,
        now=now,
        message=message,
        skipped=state.skipped.lines if state.skipped else 0,
        states=tuple(state.shards.values()),
    )


def _shard_progress(shard: ShardState) -> ShardProgress:
    batch, plan = shard.batch, shard.plan
    done, failed = _counts(shard)
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
        return _describe_job(entry, state)
    text = _describe_shard(entry)
    return f"shard {entry.shard} of {len(state.shards)}: {text}" if len(state.shards) > 1 else text


def describe_search(shard: ShardState, state: State, policy: Policy, now: float) -> str:
    """One line of text about a create without an answer, whose batch is looked for (unix seconds)."""
    waits = policy.on_unknown == OnUnknown.WAIT and not shard.is_fenced
    longest = policy.longest_window if waits else policy.settle
    text = (
        f"no answer came to the create; looking for its batch for {duration(now - shard.since)}, "
        f"for {duration(longest)} at most"
    )
    many = len(state.shards) > 1
    return f"shard {shard.plan.shard} of {len(state.shards)}: {text}" if many else text


def _describe_job(entry: entries.Entry, state: State) -> str:  # noqa: C901 - one case per kind of entry
    match entry:
        case entries.Started():
            if state.skipped is None:
                return f"{entry.lines:,} lines are valid"
            left = state.skipped.lines
            return f"{entry.lines - left:,} lines are valid, {left:,} are not and are left out"
        case entries.AccountChanged():
            return "the job goes on with another key of the same account"
        case entries.FinishBegun():
            return "the deadline nears: asking for what is left without batches"
        case entries.RoundPlanned():
            return f"round {entry.round}: sending lines again"
        case entries.CancelRequested():
            return "the job is cancelled: nothing more is sent, what is done is kept"
        case entries.Finished():
            return "the results are written"
        case entries.Audited():
            return f"the service has {entry.batches:,} batches of this job"
        case entries.Delayed():
            return f"{entry.reason}; trying again"
        case entries.Halted():
            return entry.reason
    return type(entry).__name__


def _describe_shard(entry: entries.ShardEntry) -> str:  # noqa: C901 - one case per kind of entry
    match entry:
        case shard_entries.Planned():
            return f"{entry.lines:,} lines for {entry.model or 'no model'} at {entry.endpoint}"
        case shard_entries.Divided():
            return "too large for its model's queue; divided"
        case shard_entries.Settled():
            return f"cost ${entry.usd}"
        case shard_entries.Weighed():
            return f"about {entry.tokens:,} tokens of prompt"
        case shard_entries.UploadIntended():
            return "uploading the input file"
        case shard_entries.Uploaded():
            return f"{'found the upload' if entry.adopted else 'uploaded'} as {entry.file_id}"
        case shard_entries.UploadDropped():
            return "nothing was uploaded"
        case shard_entries.CreateRefused():
            return "no batch was created"
        case shard_entries.BatchGivenUp() | shard_entries.Blocked():
            return entry.reason
        case shard_entries.CreateIntended():
            return "creating a batch"
        case shard_entries.CreateUnknown():
            return f"{entry.reason}; looking for the batch"
        case shard_entries.CreateFenced():
            return "the input file was deleted, so that no late request can use it"
        case shard_entries.CreateSettled():
            return "the batch is not in the list"
        case shard_entries.TwinSeen():
            return f"{entry.batch.id} is there besides its own batch"
        case shard_entries.CreateAbandoned():
            return "the batch was not found; creating another"
        case shard_entries.Created():
            return f"{'found' if entry.adopted else 'created'} {entry.batch.id}"
        case shard_entries.Observed() | shard_entries.CancelAsked():
            return f"{entry.batch.id} is {entry.batch.unknown_status or entry.batch.status}"
        case shard_entries.Downloaded():
            return f"downloaded {entry.file_id}, {entry.bytes:,} bytes"
        case shard_entries.RemoteDeleted():
            return f"deleted {entry.file_id} at the service"
        case shard_entries.DownloadDropped():
            return entry.reason
        case shard_entries.FileGone():
            return f"the {entry.source} file is gone: {entry.reason}"
        case shard_entries.Collected():
            return f"{entry.tally.ok:,} of {entry.tally.lines:,} lines have a good result"
        case shard_entries.Postponed():
            return f"{entry.reason}; trying again"
    return type(entry).__name__
