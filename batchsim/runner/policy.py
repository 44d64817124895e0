"""The policy of a job: how much at once, how patient, and what to do when in doubt.

A policy is a value. Its own fields are those that users set; the finer numbers are in named parts.
Its methods are pure, and all times are in seconds on the backend's clock.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert, structs

from batchsim.domain.batches import Batch
from batchsim.domain.constraints import Count, Positive, Seconds
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR
from batchsim.errors import RateLimited, Refused, UsageError

HOPELESS_LIMITS = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no waiting mends (observed)."""

Switch = Annotated[bool, Meta(description="True or False")]


class OnUnknown(StrEnum):
    """The choices when a create got no answer and no batch of it is found.

    No service can be asked to make a batch only once: a request that was sent may still take
    effect, and creating again may pay twice.
    """

    STOP = "stop"
    """Leave the shard, finish the others, and let a person judge. Never pays twice by itself: only
    if the network delivers a create twice; or if two runners work on copies of one job directory
    and, with something else going wrong, a file takes longer than `claim_wait` to be listed."""
    WAIT = "wait"
    """Search until the batch would have ended if there were one; then do as `fence`."""
    FENCE = "fence"
    """Delete the input file, which a late request then lacks; search for `Policy.list_lag`; then
    create again with a new file. Pays twice only if a batch was past `validating` when its file was
    deleted and was absent from the list all that time."""


def _check(value: object, part: str) -> None:
    """Check and convert every field of a policy, or of a part of one.

    A wrong value would otherwise be found only when it is used, perhaps after a batch was paid.
    """
    prefix = f"{part}." if isinstance(value, Struct) else ""
    write: Any = structs.force_setattr if prefix else object.__setattr__
    for name, kind in _kinds(part).items():
        given = getattr(value, name)
        try:
            write(value, name, convert(given, kind))
        except ValidationError:
            raise UsageError(
                f"a policy's {prefix}{name} cannot be {given!r}", hint=f"give {_words(kind)}"
            ) from None


@cache
def _kinds(part: str) -> dict[str, Any]:
    return get_type_hints(globals()[part], include_extras=True) | _KINDS.get(part, {})


def _words(kind: Any) -> str:
    return str(kind.__metadata__[-1].description if get_args(kind) else f"a {kind.__name__}")


class _Part(Struct, frozen=True, kw_only=True):
    def __post_init__(self) -> None:
        _check(self, type(self).__name__)


class Polling(_Part, frozen=True, kw_only=True):
    """How often batches are polled and lists are read."""

    first: Seconds = 10.0
    """Between two polls of a new batch; later a tenth of its age."""
    slowest: Seconds = 60.0
    """Between two polls of an old batch."""
    survey_from: Positive = 5
    """From so many live batches on, the list is read instead of each of them."""
    search: Seconds = 20.0
    """Between two readings of the list that search for the batch of an unknown create."""


class Backoff(_Part, frozen=True, kw_only=True):
    """How long to wait after failed requests: the wait doubles within bounds."""

    first: Seconds = 2.0
    longest: Seconds = 300.0
    patience: Seconds = 3_600.0
    """How long the requests of a shard may fail without a break before it is left."""


class BatchRetries(_Part, frozen=True, kw_only=True):
    """How often a shard gets another batch when one fails for a passing reason."""

    batches: Positive = 8
    """After so many the shard's lines count as failed."""
    first_wait: Seconds = 60.0
    longest_wait: Seconds = 1_800.0


class ServiceTimes(_Part, frozen=True, kw_only=True):
    """How long the service may take for some things."""

    claim_wait: Seconds = 40.0
    """Until a file is listed. A runner waits so long between its first upload and its first create,
    and then sees whether another runner of the job uploaded before it."""
    late_files: Seconds = 600.0
    """Until an ended batch has its result files (observed: a moment)."""
    twins_end: Seconds = 1_800.0
    """Until a cancelled twin has ended (observed: ten minutes)."""
    window: Seconds = 25 * HOUR
    """Until any batch has ended; `wait` searches for so long."""


class SyncFinish(_Part, frozen=True, kw_only=True):
    """How `finish_sync` is done."""

    lead: Seconds = 1_800.0
    """How long before the deadline it begins, a quarter of the time at most: cancelling takes ten
    minutes (observed)."""
    parallel: Positive = 8
    """How many requests are under way at once."""


_OLD_NAMES = {
    "settle": "list_lag",
    "first_poll": "polling.first",
    "slowest_poll": "polling.slowest",
    "survey_from": "polling.survey_from",
    "look_again": "polling.search",
    "first_wait": "backoff.first",
    "longest_wait": "backoff.longest",
    "patience": "backoff.patience",
    "batches_per_shard": "batch_retries.batches",
    "first_batch_wait": "batch_retries.first_wait",
    "longest_batch_wait": "batch_retries.longest_wait",
    "claim_wait": "service_times.claim_wait",
    "late_files": "service_times.late_files",
    "twins_end": "service_times.twins_end",
    "longest_window": "service_times.window",
    "sync_lead": "sync.lead",
    "sync_parallel": "sync.parallel",
}
"""The former keywords of Policy, which it takes for one version more."""


def _accept_old_names(policy: type[Policy]) -> type[Policy]:
    take = policy.__init__

    @wraps(take)
    def take_old(self: Policy, **options: Any) -> None:
        for old in [name for name in options if name in _OLD_NAMES]:
            value, new = options.pop(old), _OLD_NAMES[old]
            warnings.warn(f"Policy({old}=...) is now {new}", DeprecationWarning, stacklevel=2)
            part, _, name = new.rpartition(".")
            if part:
                before = options.get(part) or _kinds("Policy")[part]()
                name, value = part, structs.replace(before, **{name: value})
            options[name] = value
        take(self, **options)

    policy.__init__ = take_old  # type: ignore[method-assign]
    return policy


@_accept_old_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a job is run. The defaults suit the real service.

    Raises UsageError for a value that no policy can have.
    """

    max_cost: Annotated[Decimal | None, Meta(description="dollars, such as 12.50")] = None
    """The most that the job may cost, in US dollars: spent and reserved together never exceed it.
    A number becomes the Decimal that it is written as."""
    retries: Count = 2
    """How often lines are sent again that are worth it (batchsim.runner.results.outcomes)."""
    accept_lost: Switch = False
    """Give up results that the service counts as completed and that its files lack. Their lines are
    sent again, and so paid again, as often as `retries` says."""
    on_unknown: OnUnknown | Literal["stop", "wait", "fence"] = OnUnknown.STOP
    """The choice when the batch of an unknown create is not found."""
    list_lag: Seconds = 600.0
    """How long the service may take to list a batch that exists."""
    max_live: Count = 50
    """How many shards may be live at once."""
    parallel: Positive = 4
    """How many uploads and downloads may be under way at once; on a virtual clock it is one."""
    queue_limits: Annotated[
        Mapping[str, Count], Meta(description="tokens by model, such as {'gpt-4o': 90_000}")
    ] = field(default_factory=dict)
    """How many tokens may be queued by model; they go before what was learned."""
    queue_memory: Annotated[Path | None, Meta(description="a Path")] = None
    """A file that remembers across jobs how many tokens the service lets queue per model."""
    alone: Switch = False
    """True if no other runner is at work on a copy of the job directory, as the user knows: then
    there is no wait, and what was begun at another site is continued."""
    same_account: Switch = False
    """True if a key other than the one with which the job began belongs to the same account."""
    network_files: Switch = False
    """Let the job directory lie on a network file system, where locks and syncing may not hold."""
    finish_sync: Switch = False
    """When the deadline nears, cancel what is under way and send the remaining lines one by one, at
    the ordinary price, which is twice that of a batch. Lines of an unknown create whose batch is
    not found are not sent again, unless `on_unknown` is `fence`: their records say
    `outcome_unknown`."""
    deadline: Annotated[Seconds | None, Meta(description="seconds or None")] = None
    """When the results are wanted, in seconds after the job began. None: when the first batch under
    way expires, once all are sent."""
    delete_remote: Switch = False
    """Once the job is finished, delete the files that it made at the service."""
    polling: Polling = field(default_factory=Polling)
    backoff: Backoff = field(default_factory=Backoff)
    batch_retries: BatchRetries = field(default_factory=BatchRetries)
    service_times: ServiceTimes = field(default_factory=ServiceTimes)
    sync: SyncFinish = field(default_factory=SyncFinish)

    def __post_init__(self) -> None:
        cap: object = self.max_cost
        if isinstance(cap, int | float) and not isinstance(cap, bool):
            cap = Decimal(str(cap))  # 0.1 is a tenth
            object.__setattr__(self, "max_cost", cap)
        if cap is not None and not (isinstance(cap, Decimal) and cap.is_finite() and cap >= 0):
            raise UsageError(
                f"a policy's max_cost cannot be {cap!r}", hint="give dollars, such as 12.50"
            )
        _check(self, "Policy")

    def poll_interval(self, age: float) -> float:
        """Return the time between two polls of a batch: a tenth of its age, within bounds."""
        return min(self.polling.slowest, max(self.polling.first, age // 10))

    def wait(self, setbacks: int, retry_after: float | None = None) -> float:
        """Return how long to wait after so many failures in a row (at least 1).

        `retry_after`, which the service asked for, lengthens the wait, but not beyond `patience`.
        """
        doubled = _doubled(self.backoff.first, setbacks - 1, self.backoff.longest)
        return max(doubled, min(retry_after or 0.0, self.backoff.patience))

    def batch_wait(self, given_up: int) -> float:
        """Return how long to wait for the next batch of a shard that has lost so many (from 0)."""
        retries = self.batch_retries
        return _doubled(retries.first_wait, given_up, retries.longest_wait)


_KINDS: Mapping[str, dict[str, Any]] = {
    "Policy": {"on_unknown": Annotated[OnUnknown, Meta(description='"stop", "wait" or "fence"')]}
}
"""Kinds for msgspec where the annotation, meant for users, is wider."""


def _doubled(first: float, times: int, bound: float) -> float:
    return min(bound, first * 2.0 ** min(times, 64))


def is_passing(refusal: Refused) -> bool:
    """Return whether the same request may succeed later.

    A rate limit passes unless the account lacks money; a batch may not find a file for a second
    after its upload (observed).
    """
    if isinstance(refusal, RateLimited):
        return refusal.code not in HOPELESS_LIMITS
    return misses_file(refusal)


def misses_file(refusal: Refused) -> bool:
    """Return whether a create was refused because its file was not found (observed)."""
    return "Cannot find file" in refusal.message


def failed_in_passing(batch: Batch) -> bool:
    """Return whether the batch failed for a reason that is not in its lines.

    Such are a full queue of the model (`token_limit_exceeded`) and an input file that the service
    does not find (both observed). Neither runs or bills any line.
    """
    return batch.status is Status.FAILED and any(
        error.code == "token_limit_exceeded"
        or (error.line is None and "Cannot find file" in error.message)
        for error in batch.errors
    )


def is_running(batch: Batch) -> bool:
    """Return whether a batch may still run lines, unless it is cancelled."""
    return not batch.status.is_terminal and batch.status is not Status.CANCELLING


def is_void(batch: Batch) -> bool:
    """Return whether the batch ended without running a line, and so costs nothing."""
    if batch.status is Status.FAILED:
        return not batch.request_counts.completed
    was_begun = batch.in_progress_at is not None
    is_counted = batch.request_counts.total > 0 or not was_begun
    return batch.status is Status.CANCELLED and is_counted and not batch.request_counts.completed


def awaits_files(batch: Batch) -> bool:
    """Return whether an ended batch's counts promise a file that it does not name yet."""
    counts = batch.request_counts
    return (counts.completed > 0 and batch.output_file_id is None) or (
        counts.failed > 0 and batch.error_file_id is None and batch.status is not Status.FAILED
    )
