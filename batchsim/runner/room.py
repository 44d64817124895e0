"""Which shards may still be sent: room on the way, in the queue of the model, in the hour, under the cap.

Theory of operation. One pass over the shards in order; each that may go on takes its room, so that
what is decided together fits together. A shard that found no room is passed over, and later ones
that are smaller, or wait for another queue, go on: the pipe is kept full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from batchsim.domain.limits import HOUR, Limits
from batchsim.responders.models import alias
from batchsim.runner.policy import Policy
from batchsim.runner.spending import account, most, shortage
from batchsim.runner.state import ShardState, Stage, State

HOLDING_TOKENS = frozenset({Stage.CREATING, Stage.UNKNOWN, Stage.LIVE})
ON_THEIR_WAY = HOLDING_TOKENS | {Stage.UPLOADING, Stage.UPLOADED}


def queue_limits(state: State, limits: Limits) -> Mapping[str, int]:
    """The enqueued tokens allowed by model: as configured, and as the service has told since."""
    return {**limits.enqueued_tokens, **state.learned}


def tokens_of(shard: ShardState) -> int:
    """The shard's estimated prompt tokens; 0 while they are not known."""
    return shard.weight.tokens if shard.weight is not None else shard.plan.tokens


class Room:
    """What is free at one moment (`now` in unix seconds)."""

    def __init__(self, state: State, policy: Policy, limits: Limits, now: float) -> None:
        self._state = state
        self._policy = policy
        self._queues = queue_limits(state, limits)
        self._free = policy.max_live
        self._queued: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()
        self._now = now
        cap = policy.max_cost
        self._money = None if cap is None else account(state).left(cap)
        self._creates = limits.batches_per_hour - state.creates_since(now - HOUR)
        self.opens: list[float] = []
        """When room opens by itself, as time goes by."""
        self.shortages: dict[int, str] = {}
        """Why shards find no room under the cap."""
        if self._creates <= 0:
            self.opens.append(state.create_times[-limits.batches_per_hour] + HOUR)
        for shard in state.shards.values():
            self._free -= shard.stage in ON_THEIR_WAY
            if shard.stage in HOLDING_TOKENS:
                self._take(alias(shard.plan.model or ""), shard)

    def admits(self, shard: ShardState) -> bool:
        """Whether a shard that is WAITING or UPLOADED may go on; if so, its room is taken."""
        name = alias(shard.plan.model or "")
        if self._creates <= 0 or not self._has_queue(name, shard) or not self._has_money(shard):
            return False
        if shard.stage is Stage.WAITING:
            if self._free <= 0:
                return False
            self._free -= 1
        self._take(name, shard)
        self._creates -= 1
        if self._money is not None:
            self._money -= most(shard) or Decimal(0)
        return True

    def _has_queue(self, name: str, shard: ShardState) -> bool:
        limit = self._queues.get(name)
        if limit is None:
            return True
        queued = self._queued[name]
        if queued:
            return queued + self._others(name) + tokens_of(shard) <= limit
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
        cap = self._policy.max_cost
        amount = most(shard)
        if self._money is None or cap is None:
            return True
        if amount is not None and amount <= self._money:
            return True
        if amount is not None:
            self.shortages[shard.plan.shard] = shortage(shard, self._money, cap)
        return False

    def _take(self, name: str, shard: ShardState) -> None:
        self._queued[name] += tokens_of(shard)
        self._lines[name] += shard.plan.lines
