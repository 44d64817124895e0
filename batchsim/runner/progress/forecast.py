"""How long work may take: an input before it is sent, and the rest of a job while it runs.

Theory of operation. For the rest of a job two things are known. A batch that runs reports how many
of its lines are done, so two looks at it give a pace (`Pace`), and the remaining lines at that pace
are the time left. Before the first lines are done there is only experience: the median time from
creation to end of batches of the same model (`History`), less the age of this one. The batches of a
job run side by side, so the longest of them counts; shards that wait for room come in waves after
them. Without pace and experience there is no forecast.

For an input there are only statistics (`expect`). No service promises how long a batch runs, only
that its window is 24 hours. By OpenRouter's statistics of 2026 half of all batches ended within 7
minutes and nine of ten within an hour, though on some days of that year they took 8 to 19 hours;
results were written at 60 to 90 milliseconds a line (by the timestamps in result files of 2025).
Batches of one model run side by side as far as their prompts may be queued at once; the others
wait.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import DAY, ENQUEUED_TOKENS, HOUR, Limits
from batchsim.domain.models import alias
from batchsim.runner.planning.sharding import queue
from batchsim.runner.progress.snapshot import ShardProgress
from batchsim.runner.schedule.keyed_heap import KeyedHeap

USUAL_SECONDS = 7 * 60
SLOW_SECONDS = HOUR
WRITING_SECONDS_PER_LINE = 0.075
SOURCE = "half of all batches of 2026 took less than 7 minutes, nine of ten less than an hour"

WINDOW = 900.0
"""Seconds over which a pace is measured: long enough for services that count in bursts."""

_NEW_ACCOUNT = Limits(enqueued_tokens=ENQUEUED_TOKENS)

_FEW_LOOKS, _FEW_LINES = 2, 0.01
"""After two looks, less than one line in a hundred is too little for a pace."""


class Expectation(NamedTuple):
    """How long an input may take, in seconds.

    Half of the time it is less than `usual`, mostly less than `slow`, and never more than
    `longest`, when the last window closes. `turns` is how often the queue of a model has to be
    filled by the limits of a new account (usage tier 1, observed), which are the strictest; None
    where the model's limit is not known.
    """

    usual: float
    slow: float
    longest: float
    turns: int | None


def expect(model: str | None, lines: int, prompt_tokens: int, batches: int) -> Expectation:
    name = queue(_NEW_ACCOUNT, model)
    turns = None if name is None else max(1, -(-prompt_tokens // ENQUEUED_TOKENS[name]))
    times = turns or 1
    writing = WRITING_SECONDS_PER_LINE * lines / max(batches, times)
    return Expectation(
        times * (USUAL_SECONDS + writing), times * (SLOW_SECONDS + writing), times * DAY, turns
    )


def together(expectations: Iterable[Expectation]) -> Expectation:
    """Return how long work may take that goes on at the same time: its longest part."""
    usual, slow, longest, turns = zip(*expectations, strict=True)
    known = None if None in turns else max(turns)
    return Expectation(max(usual), max(slow), max(longest), known)


class History:
    def __init__(self, batches: Iterable[Batch] = ()) -> None:
        self.batches = 0
        self._seconds: dict[str, list[int]] = defaultdict(list)
        self._medians: dict[str, float | None] = {}
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """Learn from a batch if it completed; others say nothing about time."""
        if batch.status is Status.COMPLETED and batch.completed_at and batch.created_at:
            self.batches += 1
            self._seconds[alias(batch.model or "")].append(batch.completed_at - batch.created_at)
            self._medians.clear()

    def seconds(self, model: str | None) -> float | None:
        """Return the median time of the model's batches; of all batches when it has none."""
        name = alias(model or "")
        if name not in self._medians:
            self._medians[name] = self._median(name)
        return self._medians[name]

    def _median(self, name: str) -> float | None:
        known = self._seconds.get(name) or [each for own in self._seconds.values() for each in own]
        if not known:
            return None
        from statistics import median

        return float(median(known))


class Pace:
    """Lines per second of each batch and of the job, over the last WINDOW."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def observe(self, now: float, done: int) -> None:
        self._note("", now, done)

    def observe_shard(self, at: float, shard: ShardProgress) -> None:
        if shard.batch_id is not None and shard.is_running:
            self._note(shard.batch_id, at, shard.done)
        elif shard.batch_id is not None:
            self._seen.pop(shard.batch_id, None)

    def of_job(self) -> float:
        return self._rate("")

    def of(self, shard: ShardProgress) -> float:
        return self._rate(shard.batch_id) if shard.batch_id else 0.0

    def end(self, shard: ShardProgress) -> float | None:
        """Return when all lines of the shard have run at its pace (unix seconds), if it has one."""
        rate = self.of(shard)
        if not rate or shard.batch_id is None:
            return None
        has_just_begun = len(self._seen[shard.batch_id]) == _FEW_LOOKS
        if has_just_begun and shard.done < _FEW_LINES * shard.lines:
            return None  # nobody knows when between the two looks it began to move
        return self._seen[shard.batch_id][-1][0] + (shard.lines - shard.done) / rate

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


class ShardForecast(NamedTuple):
    """When a shard ends (unix seconds), or how long it takes; None: not known. `rate` a second."""

    ends_at: float | None = None
    takes: float | None = None
    rate: float = 0.0

    def seconds_left(self, now: float) -> float | None:
        return self.takes if self.ends_at is None else max(0.0, self.ends_at - now)


class Forecast:
    """When the shards of a job will have ended. Every shard that changed is put in again."""

    def __init__(self, pace: Pace, history: History) -> None:
        self._pace = pace
        self._history = history
        self._experience = history.batches
        self._shards: dict[int, ShardProgress] = {}
        self._ends = KeyedHeap[float]()
        """When the running ones end, negated: the latest counts."""
        self._unknown: set[int] = set()
        self._waiting: Counter[str | None] = Counter()

    def put(self, shard: ShardProgress, at: float) -> None:
        self.drop(shard.shard)
        self._pace.observe_shard(at, shard)
        self._shards[shard.shard] = shard
        if shard.is_waiting:
            self._waiting[shard.model] += 1
        elif shard.is_running:
            self._file(shard)

    def drop(self, number: int) -> None:
        shard = self._shards.pop(number, None)
        if shard is not None and shard.is_waiting:
            self._waiting[shard.model] -= 1
        self._ends.put(number, None)
        self._unknown.discard(number)

    def learn(self) -> bool:
        """Take in the experience that was added to the history; True when there was any."""
        if self._experience == self._history.batches:
            return False
        self._experience = self._history.batches
        for shard in self._shards.values():
            if shard.is_running:
                self._file(shard)
        return True

    def of(self, shard: ShardProgress) -> ShardForecast:
        if shard.is_waiting:
            return ShardForecast(takes=self._history.seconds(shard.model))
        if not shard.is_running:
            return ShardForecast(ends_at=-math.inf)
        return ShardForecast(self._end(shard), rate=self._pace.of(shard))

    def seconds_left(self, now: float) -> float | None:
        self.learn()
        waits = [self._history.seconds(model) for model in +self._waiting]
        if self._unknown or None in waits:
            return None
        latest = self._ends.value
        longest = max(0.0, -latest - now) if latest is not None else 0.0
        if not waits:
            return longest
        running = len(self._ends)
        waves = math.ceil(self._waiting.total() / running) if running else 1
        return longest + waves * max(wait for wait in waits if wait is not None)

    def _file(self, shard: ShardProgress) -> None:
        end = self._end(shard)
        self._ends.put(shard.shard, None if end is None else -end)
        (self._unknown.add if end is None else self._unknown.discard)(shard.shard)

    def _end(self, shard: ShardProgress) -> float | None:
        end = self._pace.end(shard)
        if end is None:
            expected = self._history.seconds(shard.model)
            if expected is None or not shard.created_at:
                return None
            end = shard.created_at + expected
        return min(end, shard.expires_at or math.inf)
