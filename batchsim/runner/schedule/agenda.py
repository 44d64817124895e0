"""The next steps of every shard, filed by when they fall due and by what they wait for.

Theory of operation. The next steps of a shard depend on the shard, the policy, the queues and
whether the job is ending (batchsim.runner.schedule.shard_steps). They are worked out anew only
when an entry has changed the shard, and filed: by time when they need no capacity, by queue when
they do, with the polls while the batch is live. Sums over shards are kept up by taking out a shard
as it was and adding it as it is. So a step of the loop costs what has changed since the last one,
not the size of the job. An agenda that was kept up equals one made anew from the same state.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from heapq import merge

from batchsim.domain.limits import Limits
from batchsim.runner.job import JobState, Session, ShardState, Stage
from batchsim.runner.journal.job_entries import Entry, ShardEntry, Surveyed
from batchsim.runner.policy import Policy
from batchsim.runner.schedule.actions import ShardAction
from batchsim.runner.schedule.budget import Balance, cost_bound
from batchsim.runner.schedule.capacity import Capacity, Load, queue_limits, queue_of, tokens_of
from batchsim.runner.schedule.keyed_heap import KeyedHeap
from batchsim.runner.schedule.polling import PollQueue
from batchsim.runner.schedule.shard_steps import NextSteps, Timed, next_steps


class _Queue:
    """The shards of one model that wait for capacity; their numbers in order."""

    def __init__(self) -> None:
        self.uploaded: list[int] = []
        self.waiting: list[int] = []
        self.sizes = KeyedHeap[int]()

    def put(self, number: int, shard: ShardState) -> None:
        insort(self.uploaded if shard.stage is Stage.UPLOADED else self.waiting, number)
        self.sizes.put(number, tokens_of(shard))

    def drop(self, number: int) -> None:
        for numbers in (self.uploaded, self.waiting):
            index = bisect_left(numbers, number)
            if numbers[index : index + 1] == [number]:
                del numbers[index]
        self.sizes.put(number, None)


class Agenda:
    def __init__(self, state: JobState, session: Session, policy: Policy, limits: Limits) -> None:
        self.state = state
        self.session = session
        self.policy = policy
        self.limits = limits
        self.stages: Counter[Stage] = Counter()
        self.load = Load(counts_money=policy.max_cost is not None)
        self.polls = PollQueue()
        self.expiries = KeyedHeap[int]()
        """When the live batches expire (unix seconds)."""
        self._changed = set(state.shards)
        self._was_surveyed = False
        self._terms: object = None
        self._filed: dict[int, tuple[ShardState, NextSteps]] = {}
        self._moments = KeyedHeap[float]()
        self._due: set[int] = set()
        self._queues: dict[str, _Queue] = {}
        self._costs = KeyedHeap[Decimal]()
        self._blockers = 0

    def apply(self, at: float, entry: Entry) -> None:
        self.state.apply(at, entry)
        self.session.apply(at, entry)
        if isinstance(entry, ShardEntry):
            self._changed.add(entry.shard)
        elif isinstance(entry, Surveyed):
            self._was_surveyed = True

    def refresh(self) -> None:
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
        if self._was_surveyed and self.session.survey_cursor is None:
            self._was_surveyed = False
            self.polls.end_survey(state, self.session, self.policy)

    def balance(self) -> Balance:
        """Return what the job has spent and reserved; counted only under a cap on cost."""
        self.refresh()
        return self.load.money

    @property
    def is_collected(self) -> bool:
        return self.stages[Stage.COLLECTED] == len(self._filed)

    def due(self, now: float) -> list[ShardAction]:
        """Return the steps that are due and need no capacity, in the order of the shards."""
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
        if self._moments.number is not None:
            yield self._next()

    def capacity(self, now: float) -> Capacity:
        return Capacity(self.state, self.session, self.policy, self.limits, self.load, now)

    def submissions(self, capacity: Capacity) -> Iterator[Timed]:
        """Yield the uploads and creates that fit, in the order of the shards."""
        if self._blockers:
            return
        cheapest = self._costs.value
        if self.policy.max_cost is not None and not capacity.can_pay(cheapest):
            return
        queues = (
            _fitting(numbers, queue, name, capacity, new=numbers is queue.waiting)
            for name, queue in self._queues.items()
            for numbers in (queue.uploaded, queue.waiting)
        )
        for number in merge(*queues):
            shard, found = self._filed[number]
            if found.submission is not None and capacity.admits(shard):
                yield found.submission

    def _next(self) -> float:
        return self._moments.value or 0.0

    def _file(self, shard: ShardState, found: NextSteps) -> None:
        number, batch = shard.plan.shard, shard.batch
        self._filed[number] = shard, found
        self._count(shard, found, 1)
        self.load.add(shard)
        if found.steps:
            self._moments.put(number, min(at for at, _ in found.steps))
        if found.submission is not None:
            self._queues.setdefault(queue_of(shard), _Queue()).put(number, shard)
            if self.policy.max_cost is not None:
                self._costs.put(number, cost_bound(shard))
        if found.is_polled:
            self.polls.put(number, shard, self.session, self.policy)
        self.polls.put_twins(number, sum(not twin.status.is_terminal for twin in shard.twins))
        if shard.stage is Stage.LIVE and batch is not None and batch.expires_at:
            self.expiries.put(number, batch.expires_at)

    def _unfile(self, number: int) -> None:
        shard, found = self._filed.pop(number, (None, None))
        if shard is None or found is None:
            return
        self._count(shard, found, -1)
        self.load.remove(shard)
        self._due.discard(number)
        self._moments.put(number, None)
        self._costs.put(number, None)
        self.expiries.put(number, None)
        if found.submission is not None:
            self._queues[queue_of(shard)].drop(number)
        self.polls.put(number, None, self.session, self.policy)
        self.polls.put_twins(number, 0)

    def _count(self, shard: ShardState, found: NextSteps, sign: int) -> None:
        self.stages[shard.stage] += sign
        self._blockers += sign * (found.lacks_weight or found.is_refused)


def _fitting(
    numbers: list[int], queue: _Queue, name: str, capacity: Capacity, *, new: bool
) -> Iterator[int]:
    """Yield the numbers while the smallest shard of the queue fits, and `new` ones may be live."""
    for number in numbers:
        if (new and not capacity.has_slot) or not capacity.has_queue(name, queue.sizes.value or 0):
            return
        yield number
