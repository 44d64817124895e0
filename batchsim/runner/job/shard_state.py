"""The state of one shard: the fold of its entries, and nothing else.

It changes in `ShardState.after` only; see batchsim.runner.job.state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from batchsim.domain.batches import Batch
from batchsim.errors import JournalError
from batchsim.runner.job.remote_names import attempt_of
from batchsim.runner.journal import Anomaly, shard_entries
from batchsim.runner.journal.job_entries import Delayed, ShardEntry, Tally
from batchsim.runner.journal.shard_entries import Downloaded, FileGone, Planned, Source, Weighed


class Stage(StrEnum):
    WAITING = "waiting"
    """Nothing of the present attempt exists at the service."""
    UPLOADING = "uploading"
    """An upload was intended, and its outcome is not recorded."""
    UPLOADED = "uploaded"
    CREATING = "creating"
    """A create was intended and its request is under way."""
    UNKNOWN = "unknown"
    """A create may have been sent, and its outcome is unknown: a batch may exist."""
    LIVE = "live"
    ENDED = "ended"
    COLLECTED = "collected"


@dataclass(frozen=True, slots=True)
class Setback:
    """Requests that failed in a row: how many, since when, the last of them, and when to go on."""

    count: int
    since: float
    last: float
    until: float
    reason: str


def set_back(
    before: Setback | None, at: float, entry: shard_entries.Postponed | Delayed
) -> Setback:
    return Setback(
        count=before.count + 1 if before else 1,
        since=before.since if before else at,
        last=at,
        until=entry.until,
        reason=entry.reason,
    )


@dataclass(frozen=True, slots=True)
class ShardState:
    """The state of one shard. The last four fields, and live counts, are of this process only."""

    plan: Planned
    stage: Stage = Stage.WAITING
    since: float = 0.0
    """When the stage began; for UNKNOWN, when a request was last known to be under way."""
    attempt: int = 0
    """How many uploads were intended so far."""
    filename: str | None = None
    file_id: str | None = None
    file_created: int = 0
    """The service's time of the file; 0 when it is not known."""
    sent: int = 0
    """How many creates were intended so far."""
    was_refused: bool = False
    """True if a create with this file was refused before."""
    is_fenced: bool = False
    """For an unknown create: whether its input file is deleted."""
    is_search_over: bool = False
    """For an unknown create: whether the list lag has passed without its batch."""
    has_unfound_batch: bool = False
    """True if a batch may exist that was not found; its lines are not sent again."""
    weight: Weighed | None = None
    reserved: Decimal | None = None
    """The most that the present batch can cost, in US dollars; None when that is not known."""
    at_risk: Decimal = Decimal(0)
    """The most that unknown creates that were given up can cost."""
    spent: Decimal = Decimal(0)
    is_cost_recorded: bool = False
    answer_reserves: Mapping[int, Decimal | None] = field(default_factory=dict)
    """For each line sent without a batch, by position, the most that it may still cost, in US
    dollars; None once its cost is recorded."""
    batch: Batch | None = None
    twins: tuple[Batch, ...] = ()
    """The second batches of the shard, as last seen."""
    batches_given_up: int = 0
    is_cancel_requested: bool = False
    files: tuple[Downloaded | FileGone, ...] = ()
    has_dropped_files: bool = False
    """True if a download was dropped: then one that comes whole ends no setback."""
    uploads: tuple[str, ...] = ()
    """The ids of all files that were uploaded for the shard."""
    deleted: tuple[str, ...] = ()
    """The ids of those files of the shard that are no longer at the service."""
    kept: tuple[str, ...] = ()
    """The ids of files that its batch names and that this process found not to be the job's."""
    tally: Tally | None = None
    differences: tuple[Anomaly, ...] = ()
    checked_at: float | None = None
    """When this process last polled the batch, or searched for it."""
    is_noticed: bool = False
    """True if a notice of the batch has come since then."""
    setback: Setback | None = None
    blocked: str | None = None

    def file(self, source: Source) -> Downloaded | FileGone | None:
        return next((each for each in self.files if each.source is source), None)

    def after(self, at: float, entry: ShardEntry) -> ShardState:  # noqa: C901 - one case per kind of entry
        """Return the shard once `entry` has happened `at` that time (unix seconds)."""
        match entry:
            case shard_entries.UploadIntended():
                return self._enter(
                    Stage.UPLOADING, at, attempt=entry.attempt, filename=entry.filename
                )
            case shard_entries.Uploaded():
                return self._enter(
                    Stage.UPLOADED,
                    at,
                    uploads=(*self.uploads, entry.file_id),
                    file_id=entry.file_id,
                    file_created=entry.created_at,
                    setback=None,
                )
            case shard_entries.UploadDropped():
                return self._start_over(at)
            case shard_entries.CreateAbandoned() | shard_entries.CreateLeft():
                risk = self.at_risk + (self.reserved or Decimal(0))
                has_unfound_batch = isinstance(entry, shard_entries.CreateLeft)
                return replace(
                    self._start_over(at), at_risk=risk, has_unfound_batch=has_unfound_batch
                )
            case shard_entries.BatchGivenUp():
                return replace(self._start_over(at), batches_given_up=self.batches_given_up + 1)
            case Weighed():
                return replace(self, weight=entry)
            case shard_entries.CostRecorded():
                return replace(self, spent=entry.usd, is_cost_recorded=True)
            case shard_entries.AnswerIntended():
                risk = self.at_risk + (self.answer_reserves.get(entry.position) or Decimal(0))
                reserves = {**self.answer_reserves, entry.position: entry.reserved or Decimal(0)}
                return replace(self, at_risk=risk, answer_reserves=reserves)
            case shard_entries.AnswerRecorded():
                reserves = {**self.answer_reserves, entry.position: None}
                if entry.is_repeated:
                    del reserves[entry.position]
                return replace(self, spent=self.spent + entry.usd, answer_reserves=reserves)
            case shard_entries.CreateIntended():
                return self._enter(Stage.CREATING, at, sent=self.sent + 1, reserved=entry.reserved)
            case shard_entries.CreateUnknown():
                return self._enter(Stage.UNKNOWN, at, is_fenced=False, is_search_over=False)
            case shard_entries.CreateFenced():
                return replace(self, since=at, is_fenced=True, is_search_over=False, setback=None)
            case shard_entries.CreateNotFound():
                return replace(self, checked_at=at, is_search_over=True, setback=None)
            case shard_entries.CreateRefused():
                return self._enter(Stage.UPLOADED, at, was_refused=True)
            case shard_entries.Created():
                stage = Stage.ENDED if entry.batch.status.is_terminal else Stage.LIVE
                attempt = max(self.attempt, attempt_of(entry.batch.metadata))
                return self._enter(
                    stage, at, batch=entry.batch, attempt=attempt, checked_at=at, setback=None
                )
            case shard_entries.TwinSeen():
                others = tuple(twin for twin in self.twins if twin.id != entry.batch.id)
                return replace(self, twins=(*others, entry.batch))
            case shard_entries.Observed():
                return self._observe(at, entry.batch)
            case shard_entries.BatchCancelRequested():
                return replace(self._observe(at, entry.batch), is_cancel_requested=True)
            case Downloaded() | FileGone():
                kept = tuple(each for each in self.files if each.source is not entry.source)
                setback = self.setback if self.has_dropped_files else None
                return replace(self, files=(*kept, entry), setback=setback)
            case shard_entries.RemoteDeleted():
                return replace(self, deleted=(*self.deleted, entry.file_id), setback=None)
            case shard_entries.RemoteKept():
                return replace(self, kept=(*self.kept, entry.file_id), setback=None)
            case shard_entries.DownloadDropped():
                kept = tuple(each for each in self.files if each.source is not entry.source)
                return replace(self, files=kept, has_dropped_files=True)
            case shard_entries.Collected():
                return self._enter(
                    Stage.COLLECTED, at, tally=entry.tally, differences=entry.differences
                )
            case shard_entries.Checked():
                seen = entry.batch or self.batch
                return replace(self, checked_at=at, is_noticed=False, batch=seen, setback=None)
            case shard_entries.Noticed():
                return replace(self, is_noticed=True)
            case shard_entries.Postponed():
                return replace(self, setback=set_back(self.setback, at, entry))
            case shard_entries.Blocked():
                return replace(self, blocked=entry.reason)
        raise JournalError(f"the journal holds an entry that is not known: {entry!r}")

    def _enter(self, stage: Stage, at: float, **changes: Any) -> ShardState:
        return replace(self, stage=stage, since=at, **{"checked_at": None, **changes})

    def _start_over(self, at: float) -> ShardState:
        return self._enter(
            Stage.WAITING,
            at,
            filename=None,
            file_id=None,
            file_created=0,
            was_refused=False,
            reserved=None,
            batch=None,
            is_cancel_requested=False,
        )

    def _observe(self, at: float, batch: Batch) -> ShardState:
        if self.stage is Stage.ENDED:
            later = batch if batch.status.is_terminal else self.batch
            return replace(self, batch=later, checked_at=at, is_noticed=False, setback=None)
        stage = Stage.ENDED if batch.status.is_terminal else Stage.LIVE
        since = at if stage is Stage.ENDED else self.since
        return replace(
            self,
            stage=stage,
            since=since,
            batch=batch,
            checked_at=at,
            is_noticed=False,
            setback=None,
        )
