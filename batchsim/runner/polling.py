"""When to look at what: the live batches of a job and its list, at most one request a second.

Theory of operation. A batch is looked at the less often the older it is. A few live batches are
asked for one by one; from `Policy.survey_from` on, pages of the list tell of a hundred each, in
sweeps from the newest to the oldest that still runs, and only a batch that a sweep did not show is
asked for by itself. The list is also read after each create, and now and then while a batch is
live, because it alone shows that a request has arrived twice or late.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchsim.domain.batches import Batch
from batchsim.runner.actions import Action, Poll, Survey
from batchsim.runner.policy import Policy
from batchsim.runner.state import ShardState, State

APART = 1.0
"""Seconds between two requests that only look."""

AFTER_CREATE = 5.0
"""Seconds after a create until the list is read for a second batch of the shard."""

RARELY = 3
"""How many times less often the list is read than a batch is looked at, while it is no survey."""


def poll_steps(
    state: State, live: list[ShardState], policy: Policy
) -> Iterator[tuple[float, Action]]:
    """What to look at and when, for the shards `live` that are not stuck; the first comes first."""
    earliest = 0.0 if state.polled is None else state.polled + APART
    for at, action in _wanted(state, live, policy):
        yield max(at, earliest), action


def _wanted(state: State, live: list[ShardState], policy: Policy) -> Iterator[tuple[float, Action]]:
    held = state.setback.until if state.setback else 0.0
    if state.survey_cursor is not None:
        yield held, Survey(state.survey_cursor)
        return
    if len(live) >= policy.survey_from:
        missed = [shard for shard in live if shard.is_noticed or _was_missed(state, shard)]
        for shard in missed:
            yield _due(shard, policy), Poll(shard.plan.shard)
        others = min((_due(each, policy) for each in live if each not in missed), default=None)
        if others is not None:
            yield max(held, others), Survey(None)
        return
    for shard in live:
        yield _due(shard, policy), Poll(shard.plan.shard)
    at = _next_watch(state, live, policy)
    if at is not None:
        yield max(held, at), Survey(None)


def _due(shard: ShardState, policy: Policy) -> float:
    looked = shard.since if shard.looked is None else shard.looked
    at = 0.0 if shard.is_noticed else looked + policy.poll_interval(looked - shard.since)
    return max(at, shard.setback.until) if shard.setback else at


def _was_missed(state: State, shard: ShardState) -> bool:
    """Whether the last sweep did not show a batch that was there when it began."""
    looked = shard.since if shard.looked is None else shard.looked
    return state.surveyed is not None and looked < state.survey_begun


def _next_watch(state: State, live: list[ShardState], policy: Policy) -> float | None:
    """When the list is to be read for twins; None when nothing runs any more."""
    stops = [twin for shard in state.shards.values() for twin in shard.twins if _may_run(twin)]
    if not live and not stops:
        return None
    if state.surveyed is None or state.surveyed < state.created:
        return state.created + AFTER_CREATE
    return state.surveyed + RARELY * policy.poll_interval(state.surveyed - state.created)


def _may_run(twin: Batch) -> bool:
    return not twin.status.is_terminal
