"""JobSummary: everything there is to show of a job, its forecast and its money included.

Theory of operation. A job may have thousands of shards, and a live display looks at it several
times a second. So a shard is worked out only when it has changed, which the runner shows by another
ShardState; the sums are kept by subtracting what the shard counted for and adding what it counts
for now. Prices are looked up only when they are wanted: a log shows no money, and the price list
takes longer to load than a small rehearsal runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from batchsim.domain.batches import Usage
from batchsim.pricing.prices import cost
from batchsim.runner.job import ShardState
from batchsim.runner.progress.forecast import Forecast, History, Pace, ShardForecast
from batchsim.runner.progress.snapshot import Progress, ShardProgress, shard_progress
from batchsim.runner.schedule.budget import balance_of


class ShardSummary(NamedTuple):
    """One shard, with its forecast and its money in US dollars (`spent` None: not known)."""

    progress: ShardProgress
    forecast: ShardForecast
    spent: Decimal | None
    reserved: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """A job at one moment.

    `spent` is known to be paid, in US dollars: by the usage in the results, or in a batch that has
    ended. It is None when a price is not known, or prices were not wanted. `reserved` is the most
    that may be paid on top of it. `rate` is in lines per second, 0 when nothing moves.
    `seconds_left` is None when it is not known.
    """

    progress: Progress
    shards: Sequence[ShardSummary]
    spent: Decimal | None
    reserved: Decimal
    rate: float
    seconds_left: float | None

    @property
    def usage(self) -> Usage:
        tallies = (shard.tally for shard in self.progress.states)
        return sum((tally.usage for tally in tallies if tally is not None), start=Usage())


class _Known(NamedTuple):
    state: ShardState
    summary: ShardSummary


class JobTracker:
    """Summarizes a job again and again. Without `priced` no price is looked up."""

    def __init__(self, history: History | None = None, *, priced: bool = True) -> None:
        self._priced = priced
        self._pace = Pace()
        self._forecast = Forecast(self._pace, history or History())
        self._known: dict[int, _Known] = {}
        self._spent = self._reserved = Decimal(0)
        self._unpriced = 0

    def look(self, progress: Progress) -> JobSummary:
        self._pace.observe(progress.now, progress.done)
        if self._forecast.learn():
            for number, (state, summary) in self._known.items():
                forecast = self._forecast.of(summary.progress)
                self._known[number] = _Known(state, summary._replace(forecast=forecast))
        for state in progress.states:
            known = self._known.get(state.plan.shard)
            if known is None or known.state is not state:
                self._take_in(state, progress.now)
        if len(self._known) > len(progress.states):
            for number in self._known.keys() - {state.plan.shard for state in progress.states}:
                self._count(self._known.pop(number).summary, -1)
                self._forecast.drop(number)
        return JobSummary(
            progress=progress,
            shards=[known.summary for known in self._known.values()],
            spent=self._spent if self._priced and not self._unpriced else None,
            reserved=self._reserved,
            rate=self._pace.of_job(),
            seconds_left=self._forecast.seconds_left(progress.now),
        )

    def _take_in(self, state: ShardState, now: float) -> None:
        shard = shard_progress(state)
        self._forecast.put(shard, now if state.checked_at is None else state.checked_at)
        is_open = shard.is_synchronous or not shard.usage.total_tokens
        summary = ShardSummary(
            shard,
            self._forecast.of(shard),
            _spent(shard) if self._priced else None,
            balance_of(state).reserved if is_open else Decimal(0),
        )
        before = self._known.get(shard.shard)
        if before is not None:
            self._count(before.summary, -1)
        self._count(summary, 1)
        self._known[shard.shard] = _Known(state, summary)

    def _count(self, summary: ShardSummary, sign: int) -> None:
        self._reserved += sign * summary.reserved
        self._spent += sign * (summary.spent or Decimal(0))
        self._unpriced += sign * (summary.spent is None)


def summarize(progress: Progress) -> JobSummary:
    return JobTracker(own_history(progress)).look(progress)


def own_history(progress: Progress) -> History:
    return History(shard.batch for shard in progress.states if shard.batch)


def _spent(shard: ShardProgress) -> Decimal | None:
    """Return the known cost of a shard; lines without a batch count at the ordinary price."""
    has_usage = shard.usage.total_tokens > 0
    known = cost(shard.model or "", shard.usage, batch=True) if has_usage else Decimal(0)
    return shard.recorded_cost if shard.is_synchronous and known is not None else known
