"""When to look at what: the live batches of a job and its list, at most one request a second.

Theory of operation. A batch is looked at the less often the older it is. A few live batches are
asked for one by one; from `Policy.survey_from` on, pages of the list tell of a hundred each, in
sweeps from the newest to the oldest that still runs, and only a batch that a sweep did not show is
asked for by itself. The list is also read after each create, and now and then while a batch is
live, because it alone shows that a request has arrived twice or late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.job.state import State
from batchsim.runner.policy import Policy
from batchsim.runner.schedule.actions import Action, Poll, Survey
from batchsim.runner.schedule.keyed_heap import KeyedHeap

APART = 1.0
"""Seconds between two requests that only look."""

AFTER_CREATE = 5.0
"""Seconds after a create until the list is read for a second batch of the shard."""

RARELY = 3
"""How many times less often the list is read than a batch is looked at, while it is no survey."""


class PollQueue:
    """When the live batches are to be looked at.

    Those that the last sweep of the list should have shown and did not are kept apart.
    """

    def __init__(self) -> None:
        self._listed = KeyedHeap[float]()
        self._missed = KeyedHeap[float]()
        self._twins: Counter[int] = Counter()

    def put(self, number: int, shard: ShardState | None, state: State, policy: Policy) -> None:
        """Take in how the shard is now; None when its batch is not to be looked at."""
        at = None if shard is None else _due(shard, policy)
        is_missed = shard is not None and (shard.is_noticed or _was_missed(state, shard))
        self._missed.put(number, at if is_missed else None)
        self._listed.put(number, None if is_missed else at)

    def put_twins(self, number: int, running: int) -> None:
        """Take in how many other batches of the shard have not ended."""
        self._twins[number] = running
        if not running:
            del self._twins[number]

    def put_all(self, state: State, policy: Policy) -> None:
        """Take in that a sweep has ended, which may have missed any of them."""
        for number in (*self._listed, *self._missed):
            self.put(number, state.shards[number], state, policy)

    def steps(self, state: State, policy: Policy) -> Iterator[tuple[float, Action]]:
        """What to look at first, and when; the first that is due comes first."""
        earliest = 0.0 if state.polled is None else state.polled + APART
        for at, action in self._wanted(state, policy):
            yield max(at, earliest), action

    def _wanted(self, state: State, policy: Policy) -> Iterator[tuple[float, Action]]:
        held = state.setback.until if state.setback else 0.0
        if state.survey_cursor is not None:
            yield held, Survey(state.survey_cursor)
            return
        live = len(self._listed) + len(self._missed)
        if live >= policy.survey_from:
            yield from _first(self._missed)
            for at, _ in _first(self._listed):
                yield max(held, at), Survey(None)
            return
        yield from sorted((*_first(self._listed), *_first(self._missed)), key=lambda step: step[0])
        if live or self._twins:
            yield max(held, _next_watch(state, policy)), Survey(None)


def _first(looks: KeyedHeap[float]) -> Iterator[tuple[float, Poll]]:
    if looks.number is not None and looks.value is not None:
        yield looks.value, Poll(looks.number)


def _due(shard: ShardState, policy: Policy) -> float:
    looked = shard.since if shard.checked_at is None else shard.checked_at
    at = 0.0 if shard.is_noticed else looked + policy.poll_interval(looked - shard.since)
    return max(at, shard.setback.until) if shard.setback else at


def _was_missed(state: State, shard: ShardState) -> bool:
    """Whether the last sweep did not show a batch that was there when it began."""
    looked = shard.since if shard.checked_at is None else shard.checked_at
    return state.surveyed is not None and looked < state.survey_begun


def _next_watch(state: State, policy: Policy) -> float:
    """When the list is to be read for twins, while anything runs."""
    if state.surveyed is None or state.surveyed < state.created:
        return state.created + AFTER_CREATE
    return state.surveyed + RARELY * policy.poll_interval(state.surveyed - state.created)
