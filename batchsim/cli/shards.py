"""Where the shards of a job stand, as rows of a table, and what they have cost so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchsim.amounts import duration, money
from batchsim.cli.table import Column
from batchsim.pricing.prices import cost
from batchsim.runner.pace import History, Pace, seconds_left, shard_seconds_left
from batchsim.runner.report import Progress, ShardProgress
from batchsim.runner.shard_state import Stage
from batchsim.runner.spending import account
from batchsim.runner.state import State

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


@dataclass(slots=True)
class Outlook:
    """What is needed to say how long things will take: the pace so far, and experience."""

    pace: Pace = field(default_factory=Pace)
    history: History = field(default_factory=History)

    def rate(self) -> str:
        """The pace of the job in words; empty when it stands still."""
        return _rate(self.pace.of_job())

    def left(self, progress: Progress) -> str:
        """How long the job will still take, in words; empty when nothing tells."""
        seconds = seconds_left(progress, self.pace, self.history)
        return f"about {duration(seconds)} left" if seconds else ""

    def row(self, shard: ShardProgress, now: float) -> tuple[str, ...]:
        """The cells of a shard, by COLUMNS."""
        left = None
        if shard.is_running:
            left = shard_seconds_left(shard, now, self.pace, self.history)
        return (
            str(shard.shard),
            shard.batch_id or "",
            shard.model or "",
            shard.status,
            f"{shard.lines:,}",
            f"{shard.done:,}",
            f"{shard.failed:,}",
            _rate(self.pace.of(shard)) if shard.is_running else "",
            duration(left) if left else "",
        )


def most_telling(shards: Sequence[ShardProgress], most: int) -> list[ShardProgress]:
    """At most so many shards: those at work before those that wait, finished ones last."""
    ranked = sorted(shards, key=lambda shard: (_rank(shard), shard.shard))[: max(0, most)]
    return sorted(ranked, key=lambda shard: shard.shard)


def by_status(shards: Iterable[ShardProgress]) -> str:
    """Such as `2 in_progress, 1 waiting`."""
    counts = Counter(shard.status for shard in shards)
    return ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))


def spent(shards: Iterable[ShardProgress]) -> Decimal | None:
    """What is known to be paid, in US dollars; None when a price is not known.

    The results say what their lines used, and a batch that has ended says it of itself; what is
    under way is not in it. Lines asked for without a batch are counted at the ordinary price.
    """
    total = Decimal(0)
    for shard in shards:
        if shard.is_synchronous:
            total += shard.settled
        if not shard.usage.total_tokens:
            continue
        paid = cost(shard.model or "", shard.usage, batch=True)
        if paid is None:
            return None
        total += Decimal(0) if shard.is_synchronous else paid
    return total


def reserved(progress: Progress) -> Decimal:
    """The most, in US dollars, that may still be paid of which it is not known yet."""
    pairs = zip(progress.states, progress.by_shard, strict=True)
    open_ones = {
        each.shard: state
        for state, each in pairs
        if each.is_synchronous or not each.usage.total_tokens
    }
    return account(State(shards=open_ones)).reserved


def money_in_words(progress: Progress) -> str:
    """What is known to be paid, and what may come on top of it, for people."""
    paid, more = spent(progress.by_shard), reserved(progress)
    told = "spent: unknown, a price is not listed" if paid is None else f"{money(paid)} spent"
    return f"{told}, at most {money(more)} reserved" if more else told


def shard_object(shard: ShardProgress, outlook: Outlook, now: float) -> dict[str, Any]:
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
        "seconds_left": shard_seconds_left(shard, now, outlook.pace, outlook.history),
    }


def _rate(lines_per_second: float) -> str:
    if not lines_per_second:
        return ""
    if lines_per_second >= 1:
        return f"{lines_per_second:,.1f} lines/s"
    return f"{lines_per_second * 60:,.1f} lines/min"


_RANKS = {Stage.LIVE: 0, Stage.CREATING: 0, Stage.WAITING: 2, Stage.COLLECTED: 3}


def _rank(shard: ShardProgress) -> int:
    return _RANKS.get(shard.stage, 1)
