"""The job's state: the fold of its entries, and nothing else.

`ShardState.after` and `State.apply` are the only places where state changes; they do no I/O and
know no clock but the times of the entries. What to do in a state is decided elsewhere
(batchsim.runner.decide).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.errors import JournalError
from batchsim.responders.models import alias
from batchsim.runner.differences import Difference
from batchsim.runner.entries import (
    AccountChanged,
    Audited,
    CancelRequested,
    Delayed,
    Entry,
    FinishBegun,
    Finished,
    Halted,
    Reconciled,
    RoundPlanned,
    ShardEntry,
    Skipped,
    Started,
    Surveyed,
    Tally,
)
from batchsim.runner.naming import attempt_of
from batchsim.runner.queues import told_limit
from batchsim.runner.shard_entries import (
    AnswerIntended,
    AnswerSettled,
    BatchGivenUp,
    Blocked,
    CancelAsked,
    Collected,
    CreateAbandoned,
    Created,
    CreateFenced,
    CreateIntended,
    CreateRefused,
    CreateSettled,
    CreateUnknown,
    Divided,
    DownloadDropped,
    Downloaded,
    FileGone,
    Looked,
    Noticed,
    Observed,
    Planned,
    Postponed,
    RemoteDeleted,
    Settled,
    Source,
    TwinSeen,
    UploadDropped,
    Uploaded,
    UploadIntended,
    Weighed,
)


class Stage(StrEnum):
    """How far a shard is."""

    WAITING = "waiting"
    """Nothing of the present attempt exists remotely that matters."""
    UPLOADING = "uploading"
    """An upload was intended; what came of it is not recorded."""
    UPLOADED = "uploaded"
    CREATING = "creating"
    """A create was intended and its request is under way."""
    UNKNOWN = "unknown"
    """A create was sent, or may have been, and its outcome is not known: a batch may exist."""
    LIVE = "live"
    """The batch exists and has not ended."""
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


def set_back(before: Setback | None, at: float, entry: Postponed | Delayed) -> Setback:
    """The setback after one more failure."""
    return Setback(
        count=before.count + 1 if before else 1,
        since=before.since if before else at,
        last=at,
        until=entry.until,
        reason=entry.reason,
    )


@dataclass(frozen=True, slots=True)
class ShardState:
    """Everything that is known of one shard."""

    plan: Planned
    stage: Stage = Stage.WAITING
    since: float = 0.0
    """When the stage was entered; for UNKNOWN, when a request was last known to be under way."""
    attempt: int = 0
    """How many uploads were intended so far."""
    filename: str | None = None
    file_id: str | None = None
    file_created: int = 0
    """The service's time of the file; 0 when it is not known."""
    sent: int = 0
    """How many creates were intended so far."""
    was_refused: bool = False
    """A create with this file was refused before."""
    is_fenced: bool = False
    """While the outcome of a create is not known: its input file is deleted."""
    has_settled: bool = False
    """While the outcome of a create is not known: it was looked for long enough."""
    weight: Weighed | None = None
    reserved: Decimal | None = None
    """What the present batch may cost at most, in US dollars; None when that is not known."""
    at_risk: Decimal = Decimal(0)
    """What batches of unknown outcome may cost that were given up."""
    settled: Decimal = Decimal(0)
    is_settled: bool = False
    asked: Mapping[int, Decimal | None] = field(default_factory=dict)
    """The positions of lines that were asked for without a batch, and what each may still cost, in
    US dollars; None once that is settled."""
    batch: Batch | None = None
    twins: tuple[Batch, ...] = ()
    """Other batches of the shard, as last seen; only one of all is wanted."""
    given_up: int = 0
    """How many batches failed in passing."""
    cancel_asked: bool = False
    """Whether the service was asked to cancel the batch."""
    files: tuple[Downloaded | FileGone, ...] = ()
    uploads: tuple[str, ...] = ()
    """The ids of all files that were uploaded for the shard."""
    deleted: tuple[str, ...] = ()
    """The ids of those files of the shard that are no longer at the service."""
    tally: Tally | None = None
    differences: tuple[Difference, ...] = ()
    looked: float | None = None
    """When this process last looked at the batch, or for it."""
    is_noticed: bool = False
    """Whether word came since then that something happened to the batch."""
    setback: Setback | None = None
    blocked: str | None = None

    def file(self, source: Source) -> Downloaded | FileGone | None:
        """What became of that result file, if anything did yet."""
        return next((each for each in self.files if each.source is source), None)

    def after(self, at: float, entry: ShardEntry) -> ShardState:  # noqa: C901 - one case per kind of entry
        """The shard once `entry` has happened `at` that time (unix seconds)."""
        match entry:
            case UploadIntended():
                return self._enter(
                    Stage.UPLOADING, at, attempt=entry.attempt, filename=entry.filename
                )
            case Uploaded():
                return self._enter(
                    Stage.UPLOADED,
                    at,
                    uploads=(*self.uploads, entry.file_id),
                    file_id=entry.file_id,
                    file_created=entry.created_at,
                    setback=None,
                )
            case UploadDropped():
                return self._start_over(at)
            case CreateAbandoned():
                risk = self.at_risk + (self.reserved or Decimal(0))
                return replace(self._start_over(at), at_risk=risk)
            case BatchGivenUp():
                return replace(self._start_over(at), given_up=self.given_up + 1)
            case Weighed():
                return replace(self, weight=entry)
            case Settled():
                return replace(self, settled=entry.usd, is_settled=True)
            case AnswerIntended():
                risk = self.at_risk + (self.asked.get(entry.position) or Decimal(0))
                asked = {**self.asked, entry.position: entry.reserved or Decimal(0)}
                return replace(self, at_risk=risk, asked=asked)
            case AnswerSettled():
                asked = {**self.asked, entry.position: None}
                if entry.again:
                    del asked[entry.position]
                return replace(self, settled=self.settled + entry.usd, asked=asked)
            case CreateIntended():
                return self._enter(Stage.CREATING, at, sent=self.sent + 1, reserved=entry.reserved)
            case CreateUnknown():
                return self._enter(Stage.UNKNOWN, at, is_fenced=False, has_settled=False)
            case CreateFenced():
                return replace(self, since=at, is_fenced=True, has_settled=False, setback=None)
            case CreateSettled():
                return replace(self, looked=at, has_settled=True, setback=None)
            case CreateRefused():
                return self._enter(Stage.UPLOADED, at, was_refused=True)
            case Created():
                stage = Stage.ENDED if entry.batch.status.is_terminal else Stage.LIVE
                attempt = max(self.attempt, attempt_of(entry.batch.metadata))
                return self._enter(
                    stage, at, batch=entry.batch, attempt=attempt, looked=at, setback=None
                )
            case TwinSeen():
                others = tuple(twin for twin in self.twins if twin.id != entry.batch.id)
                return replace(self, twins=(*others, entry.batch))
            case Observed():
                return self._observe(at, entry.batch)
            case CancelAsked():
                return replace(self._observe(at, entry.batch), cancel_asked=True)
            case Downloaded() | FileGone():
                kept = tuple(each for each in self.files if each.source is not entry.source)
                return replace(self, files=(*kept, entry), setback=None)
            case RemoteDeleted():
                return replace(self, deleted=(*self.deleted, entry.file_id), setback=None)
            case DownloadDropped():
                kept = tuple(each for each in self.files if each.source is not entry.source)
                return replace(self, files=kept)
            case Collected():
                return self._enter(
                    Stage.COLLECTED, at, tally=entry.tally, differences=entry.differences
                )
            case Looked():
                seen = entry.batch or self.batch
                return replace(self, looked=at, is_noticed=False, batch=seen, setback=None)
            case Noticed():
                return replace(self, is_noticed=True)
            case Postponed():
                return replace(self, setback=set_back(self.setback, at, entry))
            case Blocked():
                return replace(self, blocked=entry.reason)
        raise JournalError(f"the journal holds an entry that is not known: {entry!r}")

    def _enter(self, stage: Stage, at: float, **changes: Any) -> ShardState:
        return replace(self, stage=stage, since=at, **{"looked": None, **changes})

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
            cancel_asked=False,
        )

    def _observe(self, at: float, batch: Batch) -> ShardState:
        if self.stage is Stage.ENDED:
            later = batch if batch.status.is_terminal else self.batch
            return replace(self, batch=later, looked=at, is_noticed=False, setback=None)
        stage = Stage.ENDED if batch.status.is_terminal else Stage.LIVE
        since = at if stage is Stage.ENDED else self.since
        return replace(
            self,
            stage=stage,
            since=since,
            batch=batch,
            looked=at,
            is_noticed=False,
            setback=None,
        )


@dataclass(slots=True)
class State:
    """Everything that is known of the job; `shards` by their numbers, in order."""

    started: Started | None = None
    started_at: float = 0.0
    shards: dict[int, ShardState] = field(default_factory=dict)
    """Those of later rounds come after those of earlier ones."""
    skipped: Skipped | None = None
    round: int = 0
    """The latest round that was planned."""
    again: int = 0
    """How many results of the shards collected since then are worth another try."""
    hurried_at: float | None = None
    """When it was begun to finish without batches."""
    is_hurried_over: bool = False
    """Whether the shards are planned that are asked for without batches."""
    cancelled_at: float | None = None
    """When somebody asked for the job to be cancelled."""
    finished: Finished | None = None
    finished_at: float = 0.0
    known: dict[str, int] = field(default_factory=dict)
    """The number of the shard of each batch that the journal speaks of, by its id."""
    files: dict[str, int] = field(default_factory=dict)
    """The number of the shard for which each input file was uploaded."""

    learned: dict[str, int] = field(default_factory=dict)
    """The tokens that may be queued by model, as the service told when a batch failed for it."""
    crowded: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When a model's queue was last found too full, and how often since anything went through."""
    others: dict[str, int] = field(default_factory=dict)
    """The lines of others' unfinished batches by model, as the last survey saw them."""
    create_times: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    """When batches were asked for, the latest so many."""
    last_shards: dict[int, int] = field(default_factory=dict)
    """The highest number of a shard of each round."""
    reconciled: bool = False
    """Whether this process has read the lists."""
    audited_at: float | None = None
    strays: tuple[str, ...] = ()
    """The ids of batches of the job that the journal did not know when it was audited."""
    created: float = 0.0
    """When the latest batch was entered."""
    polled: float | None = None
    """When this process last made a request that only looks."""
    survey_cursor: str | None = None
    """After which batch a survey goes on that has not reached its end."""
    survey_begun: float = 0.0
    surveyed: float | None = None
    """When this process last ended a survey."""
    setback: Setback | None = None
    halted: str | None = None

    @property
    def is_audited(self) -> bool:
        """Whether nothing has changed since the audit."""
        latest = max((shard.since for shard in self.shards.values()), default=0.0)
        return self.audited_at is not None and self.audited_at >= latest

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is sent in batches, and those under way are cancelled."""
        return self.cancelled_at is not None or self.hurried_at is not None

    def apply(self, at: float, entry: Entry) -> None:
        """Take in what happened `at` that time (unix seconds).

        Raises JournalError when the entry speaks of a shard that was never planned.
        """
        match entry:
            case Started():
                self.started, self.started_at = entry, at
            case AccountChanged() if self.started is not None:
                self.started = replace(self.started, account=entry.account)
            case Planned():
                self.shards[entry.shard] = ShardState(entry, since=at)
                self.last_shards[entry.round] = entry.shard
            case Skipped():
                self.skipped = entry
            case FinishBegun():
                self.hurried_at = at
            case RoundPlanned():
                self.round, self.again, self.finished = entry.round, 0, None
                self.is_hurried_over = self.hurried_at is not None
            case CancelRequested():
                self.cancelled_at = at
            case Finished():
                self.finished, self.finished_at = entry, at
            case ShardEntry():
                self._apply_to_shard(at, entry)
            case _:
                self._apply_lists(at, entry)

    def _apply_to_shard(self, at: float, entry: ShardEntry) -> None:
        if entry.shard not in self.shards:
            raise JournalError(f"the journal speaks of a shard {entry.shard} that it never planned")
        if isinstance(entry, Divided):
            del self.shards[entry.shard]
            return
        self.shards[entry.shard] = self.shards[entry.shard].after(at, entry)
        if isinstance(entry, Created | Observed):
            self._learn(at, entry)
        if isinstance(entry, Looked | Observed | Postponed):
            self.polled = at
        elif isinstance(entry, Created | TwinSeen):
            self.known[entry.batch.id] = entry.shard
            self.created = at
        elif isinstance(entry, CreateIntended):
            self.create_times.append(at)
        elif isinstance(entry, Uploaded):
            self.files[entry.file_id] = entry.shard
        elif isinstance(entry, Collected):
            self.again += entry.again

    def _apply_lists(self, at: float, entry: Entry) -> None:
        match entry:
            case Reconciled():
                self.reconciled, self.setback = True, None
            case Surveyed():
                self._survey(at, entry)
            case Audited():
                self.audited_at, self.setback = at, None
                self.strays = (*self.strays, *entry.strays)
            case Delayed():
                self.setback = set_back(self.setback, at, entry)
            case Halted():
                self.halted = entry.reason

    def _survey(self, at: float, entry: Surveyed) -> None:
        self.polled, self.setback = at, None
        if self.survey_cursor is None:
            self.survey_begun = at
            self.others = {}
        for model, lines in entry.others.items():
            self.others[model] = self.others.get(model, 0) + lines
        self.survey_cursor = entry.cursor
        if entry.cursor is None:
            self.surveyed = at

    def creates_since(self, moment: float) -> int:
        """How many batches were asked for since then (unix seconds), of those remembered."""
        return len(self.create_times) - bisect_right(self.create_times, moment)

    def _learn(self, at: float, entry: Created | Observed) -> None:
        name = alias(self.shards[entry.shard].plan.model or entry.batch.model or "")
        limit = told_limit(entry.batch)
        if limit is not None:
            self.learned[name] = limit
            self.crowded[name] = at, self.crowded.get(name, (at, 0))[1] + 1
        elif entry.batch.status is Status.IN_PROGRESS:
            self.crowded.pop(name, None)  # it has found room

    def tally(self) -> Tally:
        """What became of the lines of all shards collected so far, each time that they were sent."""
        tallies = (shard.tally for shard in self.shards.values() if shard.tally is not None)
        return sum(tallies, start=Tally())


def fold(entries: Iterable[tuple[float, Entry]]) -> State:
    """The state after `entries`, each with its time in unix seconds."""
    state = State()
    for at, entry in entries:
        state.apply(at, entry)
    return state
