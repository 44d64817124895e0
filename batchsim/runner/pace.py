"""How long the rest of a job will take: from what its batches do, and what others took before.

Theory of operation. Two things are known. A batch under way tells how many of its lines are done,
so two looks at it give a pace (`Pace`), and the rest at that pace is the time left. Before the
first lines are done there is only experience: how long batches of the same model took from
creation to end (`History`, the median), less the age of this one. The batches of a job run beside
each other, so the longest of them counts; shards that wait for room come in waves after them.
Nothing is guessed where there is neither pace nor experience.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from statistics import median

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.responders.models import alias
from batchsim.runner.report import Progress, ShardProgress

WINDOW = 900.0
"""Seconds over which a pace is measured: long enough for services that count in bursts."""


class History:
    """How long batches took, by model."""

    def __init__(self, batches: Iterable[Batch] = ()) -> None:
        self._seconds: dict[str, list[int]] = defaultdict(list)
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """Take in a batch; only one that completed says how long batches take."""
        if batch.status is Status.COMPLETED and batch.completed_at and batch.created_at:
            self._seconds[alias(batch.model or "")].append(batch.completed_at - batch.created_at)

    def seconds(self, model: str | None) -> float | None:
        """The median time of the model's batches; of all batches when it has none."""
        own = self._seconds.get(alias(model or ""))
        known = own or [each for times in self._seconds.values() for each in times]
        return float(median(known)) if known else None


class Pace:
    """Lines per second of each batch and of the job, over the last while."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def observe(self, progress: Progress) -> None:
        """Take in where the job stands."""
        self._note("", progress.now, progress.done)
        for shard in progress.by_shard:
            if shard.batch_id is None:
                continue
            if shard.is_running:
                self._note(shard.batch_id, progress.now, shard.done)
            else:
                self._seen.pop(shard.batch_id, None)

    def of_job(self) -> float:
        """Lines per second of all batches together; 0 when nothing moved."""
        return self._rate("")

    def of(self, shard: ShardProgress) -> float:
        """Lines per second of the shard's batch; 0 when nothing moved."""
        return self._rate(shard.batch_id) if shard.batch_id else 0.0

    def _note(self, name: str, now: float, done: int) -> None:
        seen = self._seen[name]
        if seen and done < seen[-1][1]:  # another batch took over, or the service miscounted
            seen.clear()
        if len(seen) > 1 and seen[-1][1] == done == seen[-2][1]:
            seen[-1] = (now, done)  # of a long standstill the ends are enough
        elif not seen or now > seen[-1][0]:
            seen.append((now, done))
        else:
            seen[-1] = (now, done)
        while len(seen) > 2 and seen[1][0] < now - WINDOW:
            seen.popleft()

    def _rate(self, name: str) -> float:
        seen = self._seen.get(name)
        if not seen or len(seen) < 2:
            return 0.0
        has_stood = len(seen) > 2 and seen[0][1] == seen[1][1]  # before it began to move
        (start, before), (end, after) = seen[1 if has_stood else 0], seen[-1]
        return max(0.0, (after - before) / (end - start)) if end > start else 0.0


def shard_seconds_left(
    shard: ShardProgress, now: float, pace: Pace, history: History
) -> float | None:
    """How long the shard's batch will still take, in seconds; None when nothing tells.

    A batch that has ended takes none. No batch takes longer than to the end of its window.
    """
    if not shard.is_running and not shard.is_waiting:
        return 0.0
    expected = history.seconds(shard.model)
    if shard.is_waiting:
        return expected
    rate = pace.of(shard)
    if rate > 0:
        seconds = (shard.lines - shard.done) / rate
    elif expected is not None and shard.created_at:
        seconds = expected - (now - shard.created_at)
    else:
        return None
    left = shard.expires_at - now if shard.expires_at else math.inf
    return max(0.0, min(seconds, left))


def seconds_left(progress: Progress, pace: Pace, history: History) -> float | None:
    """How long the job will still take, in seconds; None when nothing tells."""
    shards = progress.by_shard
    running = [shard for shard in shards if shard.is_running]
    waiting = [shard for shard in shards if shard.is_waiting]
    lefts = [shard_seconds_left(each, progress.now, pace, history) for each in running + waiting]
    if any(left is None for left in lefts):
        return None
    known = [left for left in lefts if left is not None]
    if not waiting:
        return max(known, default=0.0)
    beside = max(1, len(running))
    waves = math.ceil(len(waiting) / beside) if running else 1
    return max(known[: len(running)], default=0.0) + waves * max(known[len(running) :])
