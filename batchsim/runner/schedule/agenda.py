"""What every shard may do next, filed by when it falls due and by what it waits for.

Theory of operation. What a shard may do depends on the shard alone, on the policy, on the queues
and on whether the job is ending (batchsim.runner.schedule.shard_steps). So it is worked out anew only when an
entry has changed the shard, and it is filed: by its moment when it needs no room, with its queue
when it does, with the looks while its batch is live. What is summed over shards is kept by taking
out what a shard counted for and adding what it counts for now. A step of the loop costs what has
changed since the last one, not what there is; and an agenda kept up through a whole job holds what
one made of the state at that moment would hold.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from heapq import merge

from batchsim.domain.limits import Limits
from batchsim.runner.job.shard_state import ShardState, Stage
from batchsim.runner.job.state import State
from batchsim.runner.journal.job_entries import Entry, ShardEntry, Surveyed
from batchsim.runner.policy import Policy
from batchsim.runner.schedule.actions import ShardAction
from batchsim.runner.schedule.budget import Balance, cost_bound
from batchsim.runner.schedule.capacity import Capacity, Load, queue_limits, queue_of, tokens_of
from batchsim.runner.schedule.keyed_heap import KeyedHeap
from batchsim.runner.schedule.polling import PollQueue
from batchsim.runner.schedule.shard_steps import NextSteps, Timed, next_steps


class _Queue:
    """The shards that may be sent once there is room, of one model; their numbers in order."""

    def __init__(self) -> None:
        self.uploaded: list[int] = []
        self.waiting: list[int] = []
        self.sizes = KeyedHeap[int]()

    def put(self, number: int, shard: ShardState) -> None:
        """File a shard that is not here."""
        insort(self.uploaded if shard.stage is Stage.UPLOADED else self.waiting, number)
        self.sizes.put(number, tokens_of(shard))

    def drop(self, number: int) -> None:
        """Take out a shard that is here."""
        for numbers in (self.uploaded, self.waiting):
            index = bisect_left(numbers, number)
            if numbers[index : index + 1] == [number]:
                del numbers[index]
        self.sizes.put(number, None)


class Agenda:
    """The agenda of `state`, which it is told about entry by entry (`note`)."""

    def __init__(self, state: State, policy: Policy, limits: Limits) -> None:
        self.state = state
        self.policy = policy
        self.limits = limits
        self.stages: Counter[Stage] = Counter()
        """How many shards are in each stage."""
        self.taken = Load(counts_money=policy.max_cost is not None)
        self.polls = PollQueue()
        self.expiries = KeyedHeap[int]()
        """When the live batches expire (unix seconds)."""
        self._changed = set(state.shards)
        self._has_swept = False
        self._terms: object = None
        self._filed: dict[int, tuple[ShardState, NextSteps]] = {}
        self._moments = KeyedHeap[float]()
        self._due: set[int] = set()
        self._queues: dict[str, _Queue] = {}
        self._costs = KeyedHeap[Decimal]()
        self._held_up = 0

    def note(self, entry: Entry) -> None:
        """Take in that the state has taken in `entry`."""
        if isinstance(entry, ShardEntry):
            self._changed.add(entry.shard)
        elif isinstance(entry, Surveyed):
            self._has_swept = True

    def refresh(self) -> None:
        """File anew what has changed."""
        state = self.state
        queues = queue_limits(state, self.limits)
        if (queues, state.is_ending, state.is_finishing_sync) != self._terms:
            self._terms = queues, state.is_ending, state.is_finishing_sync
            self._changed |= state.shards.keys()
        for number in sorted(self._changed):
            self._unfile(number)
            shard = state.shards.get(number)
            if shard is not None:
                found = next_steps(
                    shard,
                    self.policy,
                    queues,
                    is_ending=state.is_ending,
                    is_finishing_sync=state.is_finishing_sync,
                )
                self._file(shard, found)
        self._changed.clear()
        if self._has_swept and state.survey_cursor is None:
            self._has_swept = False
            self.polls.put_all(state, self.policy)

    def held(self) -> Balance:
        """What the job has spent and reserved by now; counted only under a cap on cost."""
        self.refresh()
        return self.taken.money

    @property
    def is_collected(self) -> bool:
        """Whether every line of every shard has its place."""
        return self.stages[Stage.COLLECTED] == len(self._filed)

    def due(self, now: float) -> list[ShardAction]:
        """What needs no room and is due, in the order of the shards."""
        while self._moments.number is not None and self._next() <= now:
            self._due.add(self._moments.number)
            self._moments.put(self._moments.number, None)
        actions: list[ShardAction] = []
        for number in sorted(self._due):
            steps = self._filed[number][1].steps
            found = [action for at, action in steps if at <= now]
            if not found:  # the clock was set back
                self._due.remove(number)
                self._moments.put(number, min(at for at, _ in steps))
            actions += found
        return actions

    def later(self) -> Iterator[float]:
        """When the first falls due of what needs no room and is not due."""
        if self._moments.number is not None:
            yield self._next()

    def submissions(self, room: Capacity) -> Iterator[Timed]:
        """What there is room for, in the order of the shards; each has taken its room when told."""
        if self._held_up:
            return
        cheapest = self._costs.value
        if self.policy.max_cost is not None and not room.can_pay(cheapest):
            return
        queues = (
            numbers
            for name, queue in self._queues.items()
            for numbers in (_open(queue, name, room), _with_place(queue, name, room))
        )
        for number in merge(*queues):
            shard, found = self._filed[number]
            if found.submission is not None and room.admits(shard):
                yield found.submission

    def _next(self) -> float:
        return self._moments.value or 0.0

    def _file(self, shard: ShardState, found: NextSteps) -> None:
        number, batch = shard.plan.shard, shard.batch
        self._filed[number] = shard, found
        self._count(shard, found, 1)
        self.taken.add(shard)
        if found.steps:
            self._moments.put(number, min(at for at, _ in found.steps))
        if found.submission is not None:
            self._queues.setdefault(queue_of(shard), _Queue()).put(number, shard)
            if self.policy.max_cost is not None:
                self._costs.put(number, cost_bound(shard))
        if found.is_looked_at:
            self.polls.put(number, shard, self.state, self.policy)
        self.polls.put_twins(number, sum(not twin.status.is_terminal for twin in shard.twins))
        if shard.stage is Stage.LIVE and batch is not None and batch.expires_at:
            self.expiries.put(number, batch.expires_at)

    def _unfile(self, number: int) -> None:
        shard, found = self._filed.pop(number, (None, None))
        if shard is None or found is None:
            return
        self._count(shard, found, -1)
        self.taken.remove(shard)
        self._due.discard(number)
        self._moments.put(number, None)
        self._costs.put(number, None)
        self.expiries.put(number, None)
        if found.submission is not None:
            self._queues[queue_of(shard)].drop(number)
        self.polls.put(number, None, self.state, self.policy)
        self.polls.put_twins(number, 0)

    def _count(self, shard: ShardState, found: NextSteps, sign: int) -> None:
        self.stages[shard.stage] += sign
        self._held_up += sign * (found.lacks_weight or found.is_refused)


def _open(queue: _Queue, name: str, room: Capacity) -> Iterator[int]:
    """The uploaded shards, while their queue has room for the smallest."""
    for number in queue.uploaded:
        if not room.has_queue(name, queue.sizes.value or 0):
            return
        yield number


def _with_place(queue: _Queue, name: str, room: Capacity) -> Iterator[int]:
    """The waiting shards, while their queue has room for the smallest and one more may be sent."""
    for number in queue.waiting:
        if not room.has_place or not room.has_queue(name, queue.sizes.value or 0):
            return
        yield number
