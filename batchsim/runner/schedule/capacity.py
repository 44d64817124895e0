"""Which shards may still be sent: room on the way, in the queue of the model, in the hour, under the cap.

Theory of operation. What shards take of the room is kept as a sum (`Load`). At each moment they
are asked in order; each that may go on takes its room, so that what is decided together fits
together. A shard that found no room is passed over, and later ones that are smaller, or wait for
another queue, go on: the pipe is kept full. Where not even the smallest fits, none is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

from batchsim.domain.limits import HOUR, Limits
from batchsim.domain.models import alias
from batchsim.runner.job.shard_state import ShardState, Stage
from batchsim.runner.job.state import State
from batchsim.runner.policy import Policy
from batchsim.runner.schedule.budget import Balance, balance_of, cost_bound, shortage

HOLDING_TOKENS = frozenset({Stage.CREATING, Stage.UNKNOWN, Stage.LIVE})
ON_THEIR_WAY = HOLDING_TOKENS | {Stage.UPLOADING, Stage.UPLOADED}


def queue_limits(state: State, limits: Limits) -> Mapping[str, int]:
    """The enqueued tokens allowed by model: as configured, and as the service has told since."""
    return {**limits.enqueued_tokens, **state.learned}


def queue_of(shard: ShardState) -> str:
    """The name of the model whose queue the shard waits in."""
    return alias(shard.plan.model or "")


def tokens_of(shard: ShardState) -> int:
    """The shard's estimated prompt tokens; 0 while they are not known."""
    return shard.weight.tokens if shard.weight is not None else shard.plan.tokens


class Load:
    """What shards take of the room, in all: it is told of each shard as it was and as it is."""

    def __init__(self, shards: Iterable[ShardState] = (), *, counts_money: bool = False) -> None:
        self.on_their_way = 0
        self.tokens: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.money = Balance()
        self._counts_money = counts_money
        for shard in shards:
            self.add(shard)

    def add(self, shard: ShardState) -> None:
        """Take in what the shard takes."""
        self._count(shard, 1)
        if self._counts_money:
            self.money += balance_of(shard)

    def remove(self, shard: ShardState) -> None:
        """Take out what the shard took."""
        self._count(shard, -1)
        if self._counts_money:
            self.money -= balance_of(shard)

    def _count(self, shard: ShardState, sign: int) -> None:
        self.on_their_way += sign * (shard.stage in ON_THEIR_WAY)
        if shard.stage in HOLDING_TOKENS:
            name = queue_of(shard)
            self.tokens[name] += sign * tokens_of(shard)
            self.lines[name] += sign * shard.plan.lines


class Capacity:
    """What is free at one moment (`now` in unix seconds), where so much is `taken`."""

    def __init__(
        self, state: State, policy: Policy, limits: Limits, taken: Load, now: float
    ) -> None:
        self._state = state
        self._policy = policy
        self._queues = queue_limits(state, limits)
        self._free = policy.max_live - taken.on_their_way
        self._queued = taken.tokens.copy()
        self._lines = taken.lines.copy()
        self._now = now
        cap = policy.max_cost
        self._money = None if cap is None else taken.money.left(cap)
        self._creates = limits.batches_per_hour - state.creates_since(now - HOUR)
        self.opens: list[float] = []
        """When room opens by itself, as time goes by."""
        self.shortages: dict[int, str] = {}
        """Why shards find no room under the cap."""
        if self._creates <= 0:
            self.opens.append(state.create_times[-limits.batches_per_hour] + HOUR)

    @property
    def has_place(self) -> bool:
        """Whether one more shard may be on its way."""
        return self._free > 0

    def can_pay(self, cost: Decimal | None) -> bool:
        """Whether what may cost so much is under the cap; None is a cost that is not known."""
        return self._money is None or (cost is not None and cost <= self._money)

    def has_queue(self, name: str, tokens: int) -> bool:
        """Whether a shard of so many tokens could be sent to that queue now."""
        return self._creates > 0 and self._has_queue(name, tokens)

    def admits(self, shard: ShardState) -> bool:
        """Whether a shard that is WAITING or UPLOADED may go on; if so, its room is taken."""
        name = queue_of(shard)
        if not self.has_queue(name, tokens_of(shard)) or not self._has_money(shard):
            return False
        if shard.stage is Stage.WAITING:
            if self._free <= 0:
                return False
            self._free -= 1
        self._take(name, shard)
        self._creates -= 1
        if self._money is not None:
            self._money -= cost_bound(shard) or Decimal(0)
        return True

    def _has_queue(self, name: str, tokens: int) -> bool:
        limit = self._queues.get(name)
        if limit is None:
            return True
        queued = self._queued[name]
        if queued:
            return queued + self._others(name) + tokens <= limit
        found_full, times = self._state.crowded.get(name, (0.0, 0))
        tried_again = found_full + self._policy.batch_wait(times - 2) if times > 1 else 0.0
        if self._now < tried_again:
            self.opens.append(tried_again)
            return False
        return True

    def _others(self, name: str) -> int:
        """The tokens of others' batches, at the mean of ours; 0 unless a queue was found too full."""
        lines = self._state.others.get(name, 0)
        if name not in self._state.learned or not self._lines[name]:
            return 0
        return lines * self._queued[name] // self._lines[name]

    def _has_money(self, shard: ShardState) -> bool:
        amount, cap = cost_bound(shard) if self._money is not None else None, self._policy.max_cost
        if self.can_pay(amount):
            return True
        if amount is not None and self._money is not None and cap is not None:
            self.shortages[shard.plan.shard] = shortage(shard, self._money, cap)
        return False

    def _take(self, name: str, shard: ShardState) -> None:
        self._queued[name] += tokens_of(shard)
        self._lines[name] += shard.plan.lines
