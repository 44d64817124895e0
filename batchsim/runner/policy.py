"""What is worth another try, and after how long.

A policy is a value: every number that a cautious or an impatient user may want to turn is a field,
and the questions that the runner asks are its methods, pure all of them. All times are in seconds
on the backend's clock.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, Literal

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR
from batchsim.errors import RateLimited, Refused, UsageError

HOPELESS_LIMITS = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no waiting mends (observed)."""


class OnUnknown(StrEnum):
    """What may be done when a create got no answer and no batch of it is found.

    No service can be asked to make a batch only once, so a request that was sent may still take
    effect, and creating again may pay twice.
    """

    STOP = "stop"
    """Leave the shard, finish the others, and let a person judge. Never pays twice by itself: only
    if the network delivers a create twice; or if two runners work on copies of one job directory
    and, with something else going wrong, a file takes longer than `Policy.claim_wait` to be listed."""
    WAIT = "wait"
    """Look until the batch would have ended if there were one; then do as `fence`."""
    FENCE = "fence"
    """Delete the input file, which a late request then lacks; look for `Policy.list_lag`; then create again with a new file. Pays twice only if a batch was past `validating` when
    its file was deleted and was absent from the list all that time."""


def _accepts_old_names(policy: type[Policy]) -> type[Policy]:
    """Let the class take its former keywords for one version more, each with a warning."""
    take = policy.__init__

    @wraps(take)
    def take_old(self: Policy, **options: Any) -> None:
        for old in _OLD_NAMES.keys() & options.keys():
            new = _OLD_NAMES[old]
            warnings.warn(f"Policy({old}=...) is now {new}", DeprecationWarning, stacklevel=2)
            options[new] = options.pop(old)
        take(self, **options)

    policy.__init__ = take_old  # type: ignore[method-assign]
    return policy


_OLD_NAMES = {"settle": "list_lag"}


@_accepts_old_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient the runner is. The defaults suit the real service.

    Raises UsageError for a value that no policy can have: it would be found only when it is used,
    which may be after a batch was paid.
    """

    first_poll: float = 10.0
    slowest_poll: float = 60.0
    first_wait: float = 2.0
    longest_wait: float = 300.0
    patience: float = 3_600.0
    """How long requests for one shard may fail without a break before the shard is left."""
    list_lag: float = 600.0
    """How long the service may take to list a batch that exists."""
    look_again: float = 20.0
    """How often the list is read while the batch of an unknown create is searched for."""
    late_files: float = 600.0
    """How long an ended batch may keep its result files waiting (observed: for a moment)."""
    batches_per_shard: int = 8
    """How many batches may fail for passing reasons before the shard's lines count as failed."""
    first_batch_wait: float = 60.0
    longest_batch_wait: float = 1_800.0
    max_live: int = 50
    """How many shards may be on their way at once."""
    twins_end: float = 1_800.0
    """How long a job waits at its end for twins to be cancelled (observed: ten minutes)."""
    parallel: int = 4
    """How many uploads and downloads may be under way at once; on a virtual clock it is one."""
    max_cost: Decimal | None = None
    """The most that the job may cost, in US dollars: what it has cost and what its batches may
    still cost never exceed it together. A number becomes the Decimal that it is written as."""
    queue_limits: Mapping[str, int] = field(default_factory=dict)
    """How many tokens may be queued by model, if it is known; they go before what was learned."""
    queue_memory: Path | None = None
    """A file that remembers across jobs how many tokens the service lets queue per model."""
    survey_from: int = 5
    """From so many live batches on, the list is read instead of each of them."""
    claim_wait: float = 40.0
    """How long a runner waits between its first upload and its first create, so that it sees in the
    list of files whether another runner of the job uploaded before it."""
    alone: bool = False
    """Whether it is known that no other runner is at work on a copy of the job directory: then
    nothing is waited for, and what was begun at another site is gone on with."""
    same_account: bool = False
    """Whether a key other than the one with which the job began is the same account's."""
    network_files: bool = False
    """Let the job directory lie on a network file system, where locks and syncing may not hold."""
    on_unknown: OnUnknown | Literal["stop", "wait", "fence"] = OnUnknown.STOP
    """What to do about a create whose outcome is not known and whose batch is not found."""
    longest_window: float = 25 * HOUR
    """How long `wait` looks for a batch: one that exists has ended by then."""
    finish_sync: bool = False
    """When the deadline nears, cancel what is under way and ask for what is left one by one, at the
    ordinary price, which is twice that of a batch. Lines of a batch whose create got no answer, and
    that is not found, are not asked for again, unless `on_unknown` is `fence`: their records say
    `outcome_unknown`."""
    deadline: float | None = None
    """When the results are wanted, in seconds after the job began. None: when the first batch under
    way expires, once all are sent."""
    sync_lead: float = 1_800.0
    """How long before the deadline that begins (a quarter of the time at most): cancelling takes ten
    minutes (observed)."""
    sync_parallel: int = 8
    """How many requests are under way at once then."""
    delete_remote: bool = False
    """Once the job is finished, delete the files that it made at the service."""
    retries: int = 2
    """How often lines that are worth another try are sent again (batchsim.runner.results.outcomes)."""

    def __post_init__(self) -> None:
        cap: object = self.max_cost
        if isinstance(cap, int | float) and not isinstance(cap, bool):
            object.__setattr__(self, "max_cost", Decimal(str(cap)))  # 0.1 is a tenth
        _check_fields(self)

    def poll_interval(self, age: float) -> float:
        """The time between two looks at a batch of that age: a tenth of it, within bounds."""
        return min(self.slowest_poll, max(self.first_poll, age // 10))

    def wait(self, setbacks: int, retry_after: float | None = None) -> float:
        """How long to wait after so many failures in a row (at least 1): doubling, bounded.

        `retry_after` is what the service asked for; it lengthens the wait but never beyond the
        bound on patience.
        """
        doubled = _doubled(self.first_wait, setbacks - 1, self.longest_wait)
        return max(doubled, min(retry_after or 0.0, self.patience))

    def batch_wait(self, given_up: int) -> float:
        """How long to wait for the next batch of a shard that has lost so many (from 0)."""
        return _doubled(self.first_batch_wait, given_up, self.longest_batch_wait)


def _check_fields(policy: Policy) -> None:
    for each in fields(policy):
        value = getattr(policy, each.name)
        wanted, is_right = _KINDS.get(each.name, _SECONDS)
        if not is_right(value):
            raise UsageError(f"a policy's {each.name} cannot be {value!r}", hint=f"give {wanted}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_positive(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_seconds(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and value >= 0


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_dollars(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and value >= 0


def _are_queues(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(model, str) and _is_count(tokens) for model, tokens in value.items()
    )


_Kind = tuple[str, Callable[[object], bool]]
_SECONDS: _Kind = ("seconds: a number that is not negative", _is_seconds)
_SWITCH: _Kind = ("True or False", _is_switch)
_COUNT: _Kind = ("a whole number that is not negative", _is_count)
_POSITIVE: _Kind = ("a whole number, at least 1", _is_positive)

_KINDS: Mapping[str, _Kind] = {
    "alone": _SWITCH,
    "batches_per_shard": _POSITIVE,
    "deadline": ("seconds or None", lambda value: value is None or _is_seconds(value)),
    "delete_remote": _SWITCH,
    "finish_sync": _SWITCH,
    "max_cost": ("dollars, such as 12.50", lambda value: value is None or _is_dollars(value)),
    "max_live": _COUNT,
    "network_files": _SWITCH,
    "on_unknown": ('"stop", "wait" or "fence"', lambda value: value in list(OnUnknown)),
    "parallel": _POSITIVE,
    "queue_limits": ("tokens by model, such as {'gpt-4o': 90_000}", _are_queues),
    "queue_memory": ("a Path", lambda value: value is None or isinstance(value, Path)),
    "retries": _COUNT,
    "same_account": _SWITCH,
    "survey_from": _POSITIVE,
    "sync_parallel": _POSITIVE,
}
"""What a field may be, in words, and whether a value is that; every other field is seconds."""


def _doubled(first: float, times: int, bound: float) -> float:
    return min(bound, first * 2.0 ** min(times, 64))


def is_passing(refusal: Refused) -> bool:
    """Whether the same request may succeed later.

    A rate limit passes unless it stands for an empty purse; a file that was just uploaded may be
    unknown to the batches for a second (observed).
    """
    if isinstance(refusal, RateLimited):
        return refusal.code not in HOPELESS_LIMITS
    return misses_file(refusal)


def misses_file(refusal: Refused) -> bool:
    """Whether a create was refused because the service does not know the input file (observed)."""
    return "Cannot find file" in refusal.message


def failed_in_passing(batch: Batch) -> bool:
    """Whether the batch failed for a reason that says nothing about its lines.

    These are a full queue of the model (`token_limit_exceeded`) and an input file that the
    service lost sight of (both observed). Neither runs or bills any line.
    """
    return batch.status is Status.FAILED and any(
        error.code == "token_limit_exceeded"
        or (error.line is None and "Cannot find file" in error.message)
        for error in batch.errors
    )


def is_running(batch: Batch) -> bool:
    """Whether a batch may still run lines, unless it is cancelled."""
    return not batch.status.is_terminal and batch.status is not Status.CANCELLING


def awaits_files(batch: Batch) -> bool:
    """Whether the counts of an ended batch promise a result file that it does not name yet."""
    counts = batch.request_counts
    return (counts.completed > 0 and batch.output_file_id is None) or (
        counts.failed > 0 and batch.error_file_id is None and batch.status is not Status.FAILED
    )
