"""Which shards may still be sent: the limits on live shards, queued tokens, creates and cost.

Theory of operation. The load is the sum over all shards, kept up shard by shard (`Load`). Capacity
is what the limits leave at one moment. Shards are tried in order, and each that is admitted takes
its part, so that what is decided together fits together. A shard that does not fit is passed over:
later ones that are smaller, or wait for another queue, go on. Where not even the smallest fits,
none is tried.
"""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from batchsim.domain.limits import HOUR, Limits
from batchsim.domain.models import alias
from batchsim.runner.job import JobState, Session, ShardState, Stage
from batchsim.runner.policy import Policy
from batchsim.runner.schedule.budget import Balance, balance_of, cost_bound, shortage

_QUEUED = frozenset({Stage.CREATING, Stage.UNKNOWN, Stage.LIVE})
_LIVE_SHARDS = _QUEUED | {Stage.UPLOADING, Stage.UPLOADED}


def queue_limits(state: JobState, limits: Limits) -> Mapping[str, int]:
    """Return the tokens that may be queued by model: as configured, and as the service told."""
    return {**limits.enqueued_tokens, **state.queue_limits}


def queue_of(shard: ShardState) -> str:
    return alias(shard.plan.model or "")


def tokens_of(shard: ShardState) -> int:
    """Return the shard's estimated prompt tokens; 0 while they are not known."""
    return shard.weight.tokens if shard.weight is not None else shard.plan.tokens


class Load:
    """The sum over the shards: put each in as it is, and take it out as it was put in."""

    def __init__(self, *, counts_money: bool) -> None:
        self.shards = 0
        self.tokens: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.money = Balance()
        self._counts_money = counts_money

    def add(self, shard: ShardState) -> None:
        self._count(shard, 1)
        if self._counts_money:
            self.money += balance_of(shard)

    def remove(self, shard: ShardState) -> None:
        """Take a shard out, given as it was put in."""
        self._count(shard, -1)
        if self._counts_money:
            self.money -= balance_of(shard)

    def _count(self, shard: ShardState, sign: int) -> None:
        self.shards += sign * (shard.stage in _LIVE_SHARDS)
        if shard.stage in _QUEUED:
            name = queue_of(shard)
            self.tokens[name] += sign * tokens_of(shard)
            self.lines[name] += sign * shard.plan.lines


class Capacity:
    def __init__(
        self,
        state: JobState,
        session: Session,
        policy: Policy,
        limits: Limits,
        load: Load,
        now: float,
    ) -> None:
        self._state = state
        self._session = session
        self._policy = policy
        self._queues = queue_limits(state, limits)
        self._free = policy.max_live - load.shards
        self._queued = load.tokens.copy()
        self._lines = load.lines.copy()
        self._now = now
        cap = policy.max_cost
        self._money = None if cap is None else load.money.left(cap)
        self._creates = limits.batches_per_hour - state.creates_since(now - HOUR)
        self.opens: list[float] = []
        """When capacity opens by itself, as time goes by."""
        self.shortages: dict[int, str] = {}
        """Why shards do not fit under the cap, by number."""
        if self._creates <= 0:
            self.opens.append(state.create_times[-limits.batches_per_hour] + HOUR)

    @property
    def has_slot(self) -> bool:
        return self._free > 0

    def can_pay(self, cost: Decimal | None) -> bool:
        """Return whether `cost` fits under the cap; None is a cost that is not known."""
        return self._money is None or (cost is not None and cost <= self._money)

    def has_queue(self, name: str, tokens: int) -> bool:
        return self._creates > 0 and self._has_queue(name, tokens)

    def admits(self, shard: ShardState) -> bool:
        """Return whether a WAITING or UPLOADED shard may go on; if so, it takes its part."""
        name = queue_of(shard)
        if not self.has_queue(name, tokens_of(shard)) or not self._has_money(shard):
            return False
        if shard.stage is Stage.WAITING:
            if self._free <= 0:
                return False
            self._free -= 1
        self._queued[name] += tokens_of(shard)
        self._lines[name] += shard.plan.lines
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
            return queued + self._foreign_tokens(name) + tokens <= limit
        found_full, times = self._state.full_queues.get(name, (0.0, 0))
        tried_again = found_full + self._policy.batch_wait(times - 2) if times > 1 else 0.0
        if self._now < tried_again:
            self.opens.append(tried_again)
            return False
        return True

    def _foreign_tokens(self, name: str) -> int:
        """Estimate the tokens of batches that are not ours; 0 unless the queue was found full."""
        lines = self._session.foreign_lines.get(name, 0)
        if name not in self._state.queue_limits or not self._lines[name]:
            return 0
        return lines * self._queued[name] // self._lines[name]

    def _has_money(self, shard: ShardState) -> bool:
        amount, cap = cost_bound(shard) if self._money is not None else None, self._policy.max_cost
        if self.can_pay(amount):
            return True
        if amount is not None and self._money is not None and cap is not None:
            self.shortages[shard.plan.shard] = shortage(shard, self._money, cap)
        return False
