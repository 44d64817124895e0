"""Sums over the shards of a job, kept up as each of them changes.

Each step of a job of thousands of shards reports these sums, so they are not counted anew: a shard
that changed is taken out as it was and put in as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from batchsim.runner.job.shard_state import ShardState, Stage


@dataclass(slots=True)
class Counts:
    """Lines sent, lines done, and of those done the ones that did not run well.

    Lines that were sent again are counted each time. `created` shards have a batch, `collected`
    ones their results; `batches` counts the batches by status, as the service spells it.
    """

    sent: int = 0
    done: int = 0
    failed: int = 0
    created: int = 0
    collected: int = 0
    batches: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, shards: Iterable[ShardState]) -> Counts:
        counts = cls()
        for shard in shards:
            counts.add(shard)
        return counts

    def copy(self) -> Counts:
        return replace(self, batches=self.batches.copy())

    def add(self, shard: ShardState) -> None:
        self._count(shard, 1)

    def remove(self, shard: ShardState) -> None:
        """Take out a shard, given as it was when it was put in."""
        self._count(shard, -1)

    def _count(self, shard: ShardState, sign: int) -> None:
        done, failed = lines_done(shard)
        self.sent += sign * shard.plan.lines
        self.done += sign * done
        self.failed += sign * failed
        self.collected += sign * (shard.stage is Stage.COLLECTED)
        if shard.batch is None:
            return
        status = shard.batch.unknown_status or str(shard.batch.status)
        self.created += sign
        self.batches[status] += sign
        if not self.batches[status]:
            del self.batches[status]


def lines_done(shard: ShardState) -> tuple[int, int]:
    """Return how many lines of the shard are done, and how many of those did not run well."""
    if shard.tally is not None:
        return shard.tally.lines, shard.tally.lines - shard.tally.ok
    if shard.batch is None:
        return 0, 0
    counts = shard.batch.request_counts
    return min(counts.completed + counts.failed, shard.plan.lines), counts.failed
