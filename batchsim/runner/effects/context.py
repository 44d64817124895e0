"""What every action needs: where the job lies, whom it speaks to, and how patient it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from batchsim.backends import Backend, Page
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.domain.limits import OPENAI, Limits
from batchsim.errors import BatchsimError, JournalError, RateLimited, Refused
from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.job.shard_state import Setback, ShardState
from batchsim.runner.job.state import State
from batchsim.runner.journal.job_entries import Entry, Started
from batchsim.runner.journal.shard_entries import Blocked, Postponed
from batchsim.runner.planning.plan import Plan
from batchsim.runner.policy import Policy, is_passing
from batchsim.runner.results.custom_id_spool import CustomIdSpool
from batchsim.runner.schedule.budget import Balance

Entries = Entry | tuple[Entry, ...]
"""What an action tells at once: it is in the journal, all of it or nothing, before it goes on."""


@dataclass(slots=True)
class Sight:
    """What this process remembers of its readings of the list of batches; times in unix seconds."""

    at: float = -inf
    """When the list was last read before a create,"""
    since: float = inf
    """and since when."""
    oldest: float = 0.0
    """When the oldest batch was made that ran as the present sweep began."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """`state` is the driver's own: it has taken in every entry by the time the next is asked for.

    `custom_ids` is None where the job was planned by another process; then the input tells them.
    `seeking` remembers, on a clock that nobody sets, since when this process looks for a batch.
    """

    backend: Backend
    directory: JobDirectory
    source: Path
    results: Path
    state: State
    policy: Policy
    held: Callable[[], Balance]
    """What the job has spent and reserved by now, kept up entry by entry; only under a cap on cost."""
    plan_again: Callable[[Path], Plan]
    """Plans an input as the job was planned, its invalid lines left out."""
    limits: Limits = OPENAI
    custom_ids: CustomIdSpool | None = None
    seeking: dict[tuple[int, int, bool], float] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the loop has ended: whoever still works stops."""
    sight: Sight = field(default_factory=Sight)
    partials: dict[Path, str] = field(default_factory=dict)
    """The result file of which each partial file has the beginning, written by this process."""
    verified: set[Path] = field(default_factory=set)
    """Downloads that this process wrote, or found to be what was written."""

    @property
    def started(self) -> Started:
        """How the job began. Raises JournalError when the journal does not say."""
        if self.state.started is None:
            raise JournalError("the journal does not say how the job began")
        return self.state.started

    def files(self, after: str | None) -> Page[File]:
        """A page of the input files."""
        return self.backend.list_files(purpose="batch", after=after)

    def batches(self, after: str | None) -> Page[Batch]:
        """A page of the batches."""
        return self.backend.list_batches(limit=100, after=after)

    def failed(self, number: int, error: BatchsimError) -> Iterator[Entry]:
        """What a request that had no effect means for its shard. Raises what is no such error."""
        if isinstance(error, JournalError):
            raise error
        if isinstance(error, Refused) and not is_passing(error):
            yield Blocked(shard=number, reason=reason_of(error))
        else:
            yield self.postponed(number, error)

    def postponed(self, number: int, error: BatchsimError) -> Postponed:
        """The shard's next request comes later, the later the more have failed in a row."""
        until = self.next_try(self.state.shards[number].setback, error)
        return Postponed(shard=number, until=until, reason=reason_of(error))

    def next_try(self, setback: Setback | None, error: BatchsimError) -> float:
        """When to ask again (unix seconds) after `error` and the failures before it."""
        retry_after = error.retry_after if isinstance(error, RateLimited) else None
        wait = self.policy.wait(setback.count + 1 if setback else 1, retry_after)
        return self.backend.clock.now() + wait


def batch_of(shard: ShardState) -> Batch:
    """The shard's batch. Raises JournalError when the journal lacks it."""
    if shard.batch is None:
        raise JournalError(f"the journal lacks the batch of shard {shard.plan.shard}")
    return shard.batch


def reason_of(error: BatchsimError) -> str:
    """What an error says, with its code."""
    code = error.code if isinstance(error, Refused) else None
    return f"{error.message} ({code})" if code else error.message
