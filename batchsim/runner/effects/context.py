"""The context of an action: the job, the service, the policy, and this process's memory."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from batchsim.backends import Backend, Page
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.errors import BatchsimError, JournalError, RateLimited, Refused
from batchsim.runner.job import JobDirectory, JobState, Setback, ShardState
from batchsim.runner.journal.job_entries import Entry, Started
from batchsim.runner.journal.shard_entries import Blocked, Postponed
from batchsim.runner.planning.plan import Plan
from batchsim.runner.policy import Policy, is_passing
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.schedule.agenda import Agenda

Entries = Entry | tuple[Entry, ...]
"""Entries that an action yields together: all or none of them are journalled before it goes on."""


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The local files of a job: its directory, its input, and the results to write.

    `plan_again` plans an input as the job was planned, its invalid lines left out. `custom_ids` is
    None where another process planned the job; then they are read from the input.
    """

    directory: JobDirectory
    source: Path
    results: Path
    plan_again: Callable[[Path], Plan]
    custom_ids: CustomIdSpool | None = None


@dataclass(slots=True)
class Memory:
    """The memory of this process from one action to the next; times in unix seconds."""

    list_read_at: float = -inf
    """When the list was last read before a create,"""
    list_read_since: float = inf
    """and back to which time."""
    survey_oldest: float = 0.0
    """When the oldest batch was made that ran as the present survey began."""
    survey_pages: int = 0
    """How many pages of the present survey were read,"""
    survey_seen: set[str] = field(default_factory=set)
    """and the batches on them."""
    has_other_input: dict[str, bool] = field(default_factory=dict)
    """Of listed batches with this job's metadata: whether their input is another."""
    search_began: dict[tuple[int, int, bool], float] = field(default_factory=dict)
    """When the search for a batch began, on a clock that nobody sets."""
    partials: dict[Path, str] = field(default_factory=dict)
    """The result file of which each partial file has the beginning, written by this process."""
    verified: set[Path] = field(default_factory=set)
    """Downloads and indexes that this process wrote, or found unchanged."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """The context of every action. The agenda's state has taken in every entry yielded so far."""

    backend: Backend
    files: JobFiles
    agenda: Agenda
    memory: Memory = field(default_factory=Memory)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the loop has ended: workers stop."""

    @property
    def state(self) -> JobState:
        return self.agenda.state

    @property
    def policy(self) -> Policy:
        return self.agenda.policy

    @property
    def directory(self) -> JobDirectory:
        return self.files.directory

    @property
    def started(self) -> Started:
        """How the job began. Raises JournalError when the journal does not say."""
        if self.state.started is None:
            raise JournalError("the journal does not say how the job began")
        return self.state.started

    def list_files(self, after: str | None) -> Page[File]:
        return self.backend.list_files(purpose="batch", after=after)

    def list_batches(self, after: str | None) -> Page[Batch]:
        return self.backend.list_batches(limit=100, after=after)

    def failed(self, number: int, error: BatchsimError) -> Iterator[Entry]:
        """Yield what a request without effect means for its shard. Raises a JournalError again."""
        if isinstance(error, JournalError):
            raise error
        if isinstance(error, Refused) and not is_passing(error):
            yield Blocked(shard=number, reason=reason_of(error))
        else:
            yield self.postponed(number, error)

    def postponed(self, number: int, error: BatchsimError) -> Postponed:
        """Postpone the shard's next request, for longer the more have failed in a row."""
        until = self.next_try(self.state.shards[number].setback, error)
        return Postponed(shard=number, until=until, reason=reason_of(error))

    def next_try(self, setback: Setback | None, error: BatchsimError) -> float:
        """Return when to try again (unix seconds) after `error` and the failures before it."""
        retry_after = error.retry_after if isinstance(error, RateLimited) else None
        wait = self.policy.wait(setback.count + 1 if setback else 1, retry_after)
        return self.backend.clock.now() + wait


def batch_of(shard: ShardState) -> Batch:
    """Return the shard's batch. Raises JournalError when the journal lacks it."""
    if shard.batch is None:
        raise JournalError(f"the journal lacks the batch of shard {shard.plan.shard}")
    return shard.batch


def reason_of(error: BatchsimError) -> str:
    code = error.code if isinstance(error, Refused) else None
    return f"{error.message} ({code})" if code else error.message
