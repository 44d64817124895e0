"""The state of a job: the fold of its entries, and nothing else.

State changes in three places only: `JobState.apply`, `ShardState.after` for one shard, and
`Session.apply` for what only this process knows. They do no I/O, and the only times that they know
are those of the entries. What to do next is decided in batchsim.runner.schedule.decide.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import structs

from batchsim.domain.lifecycle import Status
from batchsim.domain.models import alias
from batchsim.errors import JournalError
from batchsim.runner.job.counts import Counts
from batchsim.runner.job.session import Session
from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.job.token_queues import told_limit
from batchsim.runner.journal import job_entries, shard_entries
from batchsim.runner.journal.job_entries import Entry, ShardEntry, Started, Tally
from batchsim.runner.journal.shard_entries import Planned


@dataclass(slots=True)
class JobState:
    """The facts that the journal holds of a job; all times are in unix seconds."""

    started: Started | None = None
    started_at: float = 0.0
    shards: dict[int, ShardState] = field(default_factory=dict)
    """By number, in order; those of later rounds come after those of earlier ones."""
    counts: Counts = field(default_factory=Counts)
    skipped: job_entries.Skipped | None = None
    round: int = 0
    last_shards: dict[int, int] = field(default_factory=dict)
    """The highest number of a shard in each round."""
    retriable: int = 0
    """How many results collected since that round was planned are worth another try."""
    sync_began_at: float | None = None
    is_sync_planned: bool = False
    cancelled_at: float | None = None
    finished: job_entries.Finished | None = None
    finished_at: float = 0.0

    batch_shards: dict[str, int] = field(default_factory=dict)
    """The shard's number by the id of each batch in the journal."""
    file_shards: dict[str, int] = field(default_factory=dict)
    """The shard's number by the id of each input file."""
    created_at: float = 0.0
    """When the latest batch was recorded."""
    create_times: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    """When batches were asked for, the latest ones."""
    elected: job_entries.Elected | None = None
    """The runner that may create batches (see batchsim.runner.effects.leader_election)."""
    audited_at: float | None = None
    strays: tuple[str, ...] = ()

    queue_limits: dict[str, int] = field(default_factory=dict)
    """The tokens that may be queued by model, as failed batches told."""
    full_queues: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When a model's queue was last found full, and how often since a batch of it ran."""

    @property
    def is_audited(self) -> bool:
        """True if nothing has changed since the audit."""
        latest = max((shard.since for shard in self.shards.values()), default=0.0)
        return self.audited_at is not None and self.audited_at >= latest

    @property
    def is_ending(self) -> bool:
        """True if no more batches are created, and those under way are cancelled."""
        return self.cancelled_at is not None or self.sync_began_at is not None

    @property
    def is_finishing_sync(self) -> bool:
        """True if the remaining lines are sent without batches."""
        return self.sync_began_at is not None and self.cancelled_at is None

    def may_create(self, site: str) -> bool:
        return self.elected is not None and self.elected.site == site

    def apply(self, at: float, entry: Entry) -> None:  # noqa: C901 - one case per kind of entry
        """Take in what happened `at` that time. Raises JournalError for a shard never planned."""
        match entry:
            case Started():
                self.started, self.started_at = entry, at
            case job_entries.AccountChanged() if self.started is not None:
                self.started = structs.replace(self.started, account=entry.account)
            case Planned():
                self.shards[entry.shard] = ShardState(entry, since=at)
                self.counts.add(self.shards[entry.shard])
                self.last_shards[entry.round] = entry.shard
            case ShardEntry():
                self._apply_to_shard(at, entry)
            case job_entries.Skipped():
                self.skipped = entry
            case job_entries.FinishBegun():
                self.sync_began_at = at
            case job_entries.RoundPlanned():
                self.round, self.retriable, self.finished = entry.round, 0, None
                self.is_sync_planned = self.sync_began_at is not None
            case job_entries.CancelRequested():
                self.cancelled_at = at
            case job_entries.Finished():
                self.finished, self.finished_at = entry, at
            case job_entries.Elected():
                self.elected = entry
            case job_entries.Audited():
                self.audited_at = at
                self.strays = (*self.strays, *entry.strays)

    def _apply_to_shard(self, at: float, entry: ShardEntry) -> None:
        if entry.shard not in self.shards:
            raise JournalError(f"the journal speaks of a shard {entry.shard} that it never planned")
        self.counts.remove(self.shards[entry.shard])
        if isinstance(entry, shard_entries.Divided):
            del self.shards[entry.shard]
            return
        self.shards[entry.shard] = self.shards[entry.shard].after(at, entry)
        self.counts.add(self.shards[entry.shard])
        if isinstance(entry, shard_entries.Created | shard_entries.Observed):
            self._learn_queue(at, entry)
        if isinstance(entry, shard_entries.Created | shard_entries.TwinSeen):
            self.batch_shards[entry.batch.id] = entry.shard
            self.created_at = at
        elif isinstance(entry, shard_entries.CreateIntended):
            self.create_times.append(at)
        elif isinstance(entry, shard_entries.Uploaded):
            self.file_shards[entry.file_id] = entry.shard
        elif isinstance(entry, shard_entries.CreateFenced | shard_entries.RemoteDeleted):
            self._end_claim(entry)
        elif isinstance(entry, shard_entries.Collected):
            self.retriable += entry.retriable

    def _end_claim(self, entry: shard_entries.CreateFenced | shard_entries.RemoteDeleted) -> None:
        """End the claim of this job's runner when its file is deleted."""
        fenced = self.shards[entry.shard].file_id
        deleted = entry.file_id if isinstance(entry, shard_entries.RemoteDeleted) else fenced
        if self.elected is not None and self.elected.file_id == deleted:
            self.elected = None

    def _learn_queue(
        self, at: float, entry: shard_entries.Created | shard_entries.Observed
    ) -> None:
        name = alias(self.shards[entry.shard].plan.model or entry.batch.model or "")
        limit = told_limit(entry.batch)
        if limit is not None:
            self.queue_limits[name] = limit
            self.full_queues[name] = at, self.full_queues.get(name, (at, 0))[1] + 1
        elif entry.batch.status is Status.IN_PROGRESS:
            self.full_queues.pop(name, None)

    def creates_since(self, moment: float) -> int:
        """Return how many batches were asked for since `moment`, of those remembered."""
        return len(self.create_times) - bisect_right(self.create_times, moment)

    def tally(self) -> Tally:
        """Return the sum over all shards collected so far; lines sent again count each time."""
        tallies = (shard.tally for shard in self.shards.values() if shard.tally is not None)
        return sum(tallies, start=Tally())


def fold(entries: Iterable[tuple[float, Entry]], session: Session | None = None) -> JobState:
    """Return the state after `entries`, each with its time; a `session` takes them in as well."""
    state = JobState()
    for at, entry in entries:
        state.apply(at, entry)
        if session is not None:
            session.apply(at, entry)
    return state
