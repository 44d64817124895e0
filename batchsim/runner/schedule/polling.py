"""When to poll the live batches of a job and to read the list: at most one request a second.

Theory of operation. A batch is polled the less often the older it is. A few live batches are
polled one by one. From `Polling.survey_from` on, surveys read the list instead: a page tells of a
hundred batches, from the newest to the oldest that still runs, and only a batch that a survey did
not show is polled. The list is also read after each create, and now and then while a batch is
live, because only the list shows that a request has arrived twice or late.
"""

from collections import Counter
from collections.abc import Iterator

from batchsim.runner.job import JobState, Session, ShardState
from batchsim.runner.policy import Policy
from batchsim.runner.schedule.actions import Action, Poll, Survey
from batchsim.runner.schedule.keyed_heap import KeyedHeap

APART = 1.0
"""Seconds between two requests that only read."""

AFTER_CREATE = 5.0
"""Seconds after a create until the list is read for a second batch of the shard."""

RARELY = 3
"""While batches are polled, the list is read this many times less often than a batch."""


class PollQueue:
    """The live batches by their next poll; those that the latest survey missed are kept apart."""

    def __init__(self) -> None:
        self._listed = KeyedHeap[float]()
        self._missed = KeyedHeap[float]()
        self._twins: Counter[int] = Counter()

    def put(self, number: int, shard: ShardState | None, session: Session, policy: Policy) -> None:
        """Take in the shard as it is now; None when its batch is not to be polled."""
        at = None if shard is None else _due(shard, policy)
        is_missed = shard is not None and (shard.is_noticed or _was_missed(session, shard))
        self._missed.put(number, at if is_missed else None)
        self._listed.put(number, None if is_missed else at)

    def put_twins(self, number: int, running: int) -> None:
        self._twins[number] = running
        if not running:
            del self._twins[number]

    def end_survey(self, state: JobState, session: Session, policy: Policy) -> None:
        """Sort all batches anew: the survey that has ended may have missed some."""
        for number in (*self._listed, *self._missed):
            self.put(number, state.shards[number], session, policy)

    def steps(
        self, state: JobState, session: Session, policy: Policy
    ) -> Iterator[tuple[float, Action]]:
        """Yield what to poll or read first, and when; the first that is due comes first."""
        earliest = 0.0 if session.polled_at is None else session.polled_at + APART
        for at, action in self._wanted(state, session, policy):
            yield max(at, earliest), action

    def _wanted(
        self, state: JobState, session: Session, policy: Policy
    ) -> Iterator[tuple[float, Action]]:
        not_before = session.setback.until if session.setback else 0.0
        if session.survey_cursor is not None:
            yield not_before, Survey(session.survey_cursor)
            return
        live = len(self._listed) + len(self._missed)
        if live >= policy.polling.survey_from:
            yield from _first(self._missed)
            for at, _ in _first(self._listed):
                yield max(not_before, at), Survey(None)
            return
        yield from sorted((*_first(self._listed), *_first(self._missed)), key=lambda step: step[0])
        if live or self._twins:
            yield max(not_before, _next_twin_search(state, session, policy)), Survey(None)


def _first(polls: KeyedHeap[float]) -> Iterator[tuple[float, Poll]]:
    if polls.number is not None and polls.value is not None:
        yield polls.value, Poll(polls.number)


def _last_check(shard: ShardState) -> float:
    return shard.since if shard.checked_at is None else shard.checked_at


def _due(shard: ShardState, policy: Policy) -> float:
    checked = _last_check(shard)
    at = 0.0 if shard.is_noticed else checked + policy.poll_interval(checked - shard.since)
    return max(at, shard.setback.until) if shard.setback else at


def _was_missed(session: Session, shard: ShardState) -> bool:
    """Return whether the latest survey did not show a batch that existed when it began."""
    return session.surveyed_at is not None and _last_check(shard) < session.survey_began_at


def _next_twin_search(state: JobState, session: Session, policy: Policy) -> float:
    if session.surveyed_at is None or session.surveyed_at < state.created_at:
        return state.created_at + AFTER_CREATE
    return session.surveyed_at + RARELY * policy.poll_interval(
        session.surveyed_at - state.created_at
    )
