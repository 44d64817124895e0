"""What is said of a job's shards: where they stand, how long they will take, what they cost.

Theory of operation. A job may have thousands of shards, and it is looked at several times a second.
So what is said of a shard is worked out when the shard has changed, which the runner shows by
another ShardState, and sums are kept by taking out what a shard counted for and adding what it
counts for now. What is paid is worked out when it is asked for: a log never asks, and the prices
take longer to load than a small rehearsal runs.

The shards of a job as a table: its columns, which of them are shown, and how the others are summed up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from batchsim.amounts import duration, money
from batchsim.cli.terminal.table import Column
from batchsim.pricing.prices import cost
from batchsim.runner.job.shard_state import ShardState, Stage
from batchsim.runner.progress.forecast import Forecast, History, Pace
from batchsim.runner.progress.report import Progress, ShardProgress, shard_progress
from batchsim.runner.schedule.budget import account_of


class Seen(NamedTuple):
    """A shard as last looked at; `reserved` is in US dollars."""

    state: ShardState
    shard: ShardProgress
    reserved: Decimal


class Outlook:
    """A job as last looked at, and what experience (`history`) adds."""

    def __init__(self, history: History | None = None) -> None:
        self.history = history or History()
        self._pace = Pace()
        self._forecast = Forecast(self._pace, self.history)
        self._seen: dict[int, Seen] = {}
        self._paid: dict[int, Decimal | None] = {}
        self._paid_in_sum = self.reserved = Decimal(0)
        """`reserved` is the most that may still be paid of which it is not known yet."""
        self._unpriced = 0
        self._to_price: set[int] = set()
        self._now = 0.0

    def look(self, progress: Progress) -> None:
        """Take in where the job stands."""
        self._now = progress.now
        self._pace.observe(progress.now, progress.done)
        for state in progress.states:
            seen = self._seen.get(state.plan.shard)
            if seen is None or seen.state is not state:
                self._put(seen, _seen(state), progress.now)
        if len(self._seen) > len(progress.states):
            left = {state.plan.shard for state in progress.states}
            for number in self._seen.keys() - left:
                self._put(self._seen[number], None, progress.now)

    @property
    def shards(self) -> Collection[ShardProgress]:
        """Where each shard stands, in their order."""
        return [seen.shard for seen in self._seen.values()]

    @property
    def spent(self) -> Decimal | None:
        """What is known to be paid, in US dollars; None when a price is not known.

        The results say what their lines used, and a batch that has ended says it of itself; what is
        under way is not in it. Lines asked for without a batch are counted at the ordinary price.
        """
        while self._to_price:
            number = self._to_price.pop()
            self._count(self._paid.pop(number, Decimal(0)), -1)
            if number in self._seen:
                self._paid[number] = _paid(self._seen[number].shard)
                self._count(self._paid[number], 1)
        return None if self._unpriced else self._paid_in_sum

    def money(self) -> str:
        """What is known to be paid, and what may come on top of it, for people."""
        paid = self.spent
        told = "spent: unknown, a price is not listed" if paid is None else f"{money(paid)} spent"
        return f"{told}, at most {money(self.reserved)} reserved" if self.reserved else told

    def seconds_left(self) -> float | None:
        """How long the job will still take, in seconds; None when nothing tells."""
        return self._forecast.seconds_left(self._now)

    def left(self) -> str:
        """The same in words; empty when nothing tells."""
        seconds = self.seconds_left()
        return f"about {duration(seconds)} left" if seconds else ""

    def shard_seconds_left(self, shard: ShardProgress) -> float | None:
        """How long a shard will still take, in seconds; None when nothing tells."""
        return self._forecast.shard_seconds_left(shard, self._now)

    def rate(self) -> str:
        """The pace of the job in words; empty when it stands still."""
        return _rate(self._pace.of_job())

    def row(self, shard: ShardProgress) -> tuple[str, ...]:
        """The cells of a shard, by COLUMNS (batchsim.cli.display.job_summary)."""
        left = self.shard_seconds_left(shard) if shard.is_running else None
        return (
            str(shard.shard),
            shard.batch_id or "",
            shard.model or "",
            shard.status,
            f"{shard.lines:,}",
            f"{shard.done:,}",
            f"{shard.failed:,}",
            _rate(self._pace.of(shard)) if shard.is_running else "",
            duration(left) if left else "",
        )

    def _put(self, before: Seen | None, after: Seen | None, now: float) -> None:
        for seen, sign in ((before, -1), (after, 1)):
            if seen is not None:
                self.reserved += sign * seen.reserved
                self._to_price.add(seen.shard.shard)
        if after is not None:
            self._seen[after.shard.shard] = after
            looked = after.state.looked
            self._forecast.put(after.shard, now if looked is None else looked)
        elif before is not None:
            del self._seen[before.shard.shard]
            self._forecast.drop(before.shard.shard)

    def _count(self, paid: Decimal | None, sign: int) -> None:
        self._paid_in_sum += sign * (paid or Decimal(0))
        self._unpriced += sign * (paid is None)


def _seen(state: ShardState) -> Seen:
    shard = shard_progress(state)
    is_open = shard.is_synchronous or not shard.usage.total_tokens
    return Seen(state, shard, account_of(state).reserved if is_open else Decimal(0))


def _paid(shard: ShardProgress) -> Decimal | None:
    paid: Decimal | None = Decimal(0)
    if shard.usage.total_tokens:
        paid = cost(shard.model or "", shard.usage, batch=True)
    return shard.settled if shard.is_synchronous and paid is not None else paid


def _rate(lines_per_second: float) -> str:
    if not lines_per_second:
        return ""
    if lines_per_second >= 1:
        return f"{lines_per_second:,.1f} lines/s"
    return f"{lines_per_second * 60:,.1f} lines/min"


COLUMNS = (
    Column("SHARD", is_number=True),
    Column("BATCH"),
    Column("MODEL"),
    Column("STATUS"),
    Column("LINES", is_number=True),
    Column("DONE", is_number=True),
    Column("FAILED", is_number=True),
    Column("RATE", is_number=True),
    Column("TIME LEFT", is_number=True),
)


def most_telling(shards: Collection[ShardProgress], most: int) -> list[ShardProgress]:
    """At most so many shards: those at work before those that wait, finished ones last."""
    ranked = sorted(shards, key=lambda shard: (_rank(shard), shard.shard))[: max(0, most)]
    return sorted(ranked, key=lambda shard: shard.shard)


def by_status(shards: Iterable[ShardProgress]) -> str:
    """Such as `2 in_progress, 1 waiting`."""
    counts = Counter(shard.status for shard in shards)
    return ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))


def shard_object(shard: ShardProgress, outlook: Outlook) -> dict[str, Any]:
    """The JSON object of a shard. Times are unix seconds."""
    return {
        "shard": shard.shard,
        "batch_id": shard.batch_id,
        "endpoint": shard.endpoint,
        "model": shard.model,
        "stage": str(shard.stage),
        "status": shard.status,
        "lines": shard.lines,
        "done": shard.done,
        "failed": shard.failed,
        "created_at": shard.created_at,
        "expires_at": shard.expires_at,
        "seconds_left": outlook.shard_seconds_left(shard),
    }


_RANKS = {Stage.LIVE: 0, Stage.CREATING: 0, Stage.WAITING: 2, Stage.COLLECTED: 3}


def _rank(shard: ShardProgress) -> int:
    return _RANKS.get(shard.stage, 1)
