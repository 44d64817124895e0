"""The shards of a job as a table: its columns, which of them are shown, and how the others are summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from batchsim.cli.outlook import Outlook
from batchsim.cli.table import Column
from batchsim.runner.report import ShardProgress
from batchsim.runner.shard_state import Stage

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
