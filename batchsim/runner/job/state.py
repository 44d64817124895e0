"""The job's state: the fold of its entries, and nothing else.

`ShardState.after` (batchsim.runner.job.shard_state) and `State.apply` are the only places where state
changes; they do no I/O and know no clock but the times of the entries. What to do in a state is
decided elsewhere (batchsim.runner.schedule.decide).

How far the shards of a job are in numbers, kept up as each of them changes.

What is told after every step of a job of thousands of shards costs what has changed: a shard that
changed is taken out with what it counted for, and put in with what it counts for now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from msgspec import structs

from batchsim.domain.lifecycle import Status
from batchsim.domain.models import alias
from batchsim.errors import JournalError
from batchsim.runner.job.shard_state import Setback, ShardState, Stage, set_back
from batchsim.runner.job.token_queues import told_limit
from batchsim.runner.journal.job_entries import (
    AccountChanged,
    Audited,
    CancelRequested,
    Delayed,
    Elected,
    Entry,
    FinishBegun,
    Finished,
    Halted,
    Placed,
    Reconciled,
    RoundPlanned,
    ShardEntry,
    Skipped,
    Started,
    StoodBack,
    Surveyed,
    Tally,
)
from batchsim.runner.journal.shard_entries import (
    Checked,
    Collected,
    Created,
    CreateFenced,
    CreateIntended,
    Divided,
    Observed,
    Planned,
    Postponed,
    RemoteDeleted,
    TwinSeen,
    Uploaded,
)


@dataclass(slots=True)
class Counts:
    """Sums over shards: lines sent, done, and of those done the ones that did not run well.

    Lines that were sent again are counted each time. `created` shards have a batch, `collected`
    ones their results; `batches` counts the batches by status, as the service spells it.
    """

    sent: int = 0
    done: int = 0
    failed: int = 0
    created: int = 0
    collected: int = 0
    batches: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, shards: Iterable[ShardState]) -> Counts:
        """The sums over these."""
        counts = cls()
        for shard in shards:
            counts.add(shard)
        return counts

    def copy(self) -> Counts:
        """The same, which stays as it is."""
        return replace(self, batches=self.batches.copy())

    def add(self, shard: ShardState) -> None:
        """Put a shard in."""
        self._count(shard, 1)

    def remove(self, shard: ShardState) -> None:
        """Take out a shard that was put in as it is here."""
        self._count(shard, -1)

    def _count(self, shard: ShardState, sign: int) -> None:
        done, failed = lines_done(shard)
        self.sent += sign * shard.plan.lines
        self.done += sign * done
        self.failed += sign * failed
        self.collected += sign * (shard.stage is Stage.COLLECTED)
        if shard.batch is None:
            return
        status = shard.batch.unknown_status or str(shard.batch.status)
        self.created += sign
        self.batches[status] += sign
        if not self.batches[status]:
            del self.batches[status]


def lines_done(shard: ShardState) -> tuple[int, int]:
    """How many lines of the shard are done, and how many of those did not run well."""
    if shard.tally is not None:
        return shard.tally.lines, shard.tally.lines - shard.tally.ok
    if shard.batch is None:
        return 0, 0
    counts = shard.batch.request_counts
    return min(counts.completed + counts.failed, shard.plan.lines), counts.failed


@dataclass(slots=True)
class State:
    """Everything that is known of the job; `shards` by their numbers, in order."""

    started: Started | None = None
    started_at: float = 0.0
    shards: dict[int, ShardState] = field(default_factory=dict)
    """Those of later rounds come after those of earlier ones."""
    counts: Counts = field(default_factory=Counts)
    """The sums over the shards."""
    skipped: Skipped | None = None
    round: int = 0
    """The latest round that was planned."""
    retriable: int = 0
    """How many results of the shards collected since then are worth another try."""
    sync_began_at: float | None = None
    """When it was begun to finish without batches."""
    is_sync_planned: bool = False
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
    site: str = ""
    """Where this process works."""
    elected: Elected | None = None
    """Which runner of the job may create batches, as far as was seen here."""
    stood_back: str | None = None
    """Why this process leaves it to another runner to create batches."""
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
        return self.cancelled_at is not None or self.sync_began_at is not None

    @property
    def is_finishing_sync(self) -> bool:
        """Whether what is left is asked for without batches."""
        return self.sync_began_at is not None and self.cancelled_at is None

    @property
    def may_create(self) -> bool:
        """Whether this process may create batches (see batchsim.runner.effects.leader_election)."""
        return self.elected is not None and self.elected.site == self.site

    def apply(self, at: float, entry: Entry) -> None:
        """Take in what happened `at` that time (unix seconds).

        Raises JournalError when the entry speaks of a shard that was never planned.
        """
        match entry:
            case Started():
                self.started, self.started_at = entry, at
            case AccountChanged() if self.started is not None:
                self.started = structs.replace(self.started, account=entry.account)
            case Planned():
                self.shards[entry.shard] = ShardState(entry, since=at)
                self.counts.add(self.shards[entry.shard])
                self.last_shards[entry.round] = entry.shard
            case Skipped():
                self.skipped = entry
            case FinishBegun():
                self.sync_began_at = at
            case RoundPlanned():
                self.round, self.retriable, self.finished = entry.round, 0, None
                self.is_sync_planned = self.sync_began_at is not None
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
        self.counts.remove(self.shards[entry.shard])
        if isinstance(entry, Divided):
            del self.shards[entry.shard]
            return
        self.shards[entry.shard] = self.shards[entry.shard].after(at, entry)
        self.counts.add(self.shards[entry.shard])
        if isinstance(entry, Created | Observed):
            self._learn(at, entry)
        if isinstance(entry, Checked | Observed | Postponed):
            self.polled = at
        elif isinstance(entry, Created | TwinSeen):
            self.known[entry.batch.id] = entry.shard
            self.created = at
        elif isinstance(entry, CreateIntended):
            self.create_times.append(at)
        elif isinstance(entry, Uploaded):
            self.files[entry.file_id] = entry.shard
        elif isinstance(entry, CreateFenced | RemoteDeleted):
            self._end_claim(entry)
        elif isinstance(entry, Collected):
            self.retriable += entry.retriable

    def _end_claim(self, entry: CreateFenced | RemoteDeleted) -> None:
        """With its file a claim ends."""
        fenced = self.shards[entry.shard].file_id
        deleted = entry.file_id if isinstance(entry, RemoteDeleted) else fenced
        if self.elected is not None and self.elected.file_id == deleted:
            self.elected = None

    def _apply_lists(self, at: float, entry: Entry) -> None:
        match entry:
            case Placed():
                self.site = entry.site
            case Elected():
                self.elected, self.setback = entry, None
            case StoodBack():
                self.stood_back = entry.reason
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
        for model, lines in entry.foreign_lines.items():
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
