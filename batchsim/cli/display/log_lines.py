"""What a log says of a running job: what happened once, how far it is now and then, a sign of life hourly.

Theory of operation. A log is read afterwards, perhaps after a night, so each line must be worth its
place. Told is what happened, and nothing twice within an hour: what is tried again and again is one
line. Of a job of many shards the steps that every shard takes are not told one by one. Else a line
says how the batches stand: when that has changed, when another twentieth of the work is done (at
most once a minute), or when the log was silent for an hour. So a log grows with what happens, not
with time and not with the number of shards.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchsim.domain.limits import HOUR

if TYPE_CHECKING:
    from batchsim.runner.progress.messages import News
    from batchsim.runner.progress.report import Progress

MANY = 20
"""Of jobs of more shards than these the steps of each are not told one by one."""

SHARE = 1 / 20
"""How much more of the work must be done for the counts to be told again."""

QUIET = 60.0
"""For so many seconds after a line the counts are not told again."""

_NUMBERED = re.compile(r"\S*\d\S*(?: (?:s|min|h)\b)?")


@dataclass(frozen=True, slots=True)
class Told:
    """What a log has told: when it told something last, how the job stood then, and what happened.

    Times are seconds on the job's clock. `seen` is the latest news, told or not.
    """

    at: float = -math.inf
    work: tuple[int, ...] = (0, 0, 0)
    batches: Mapping[str, int] = field(default_factory=dict)
    seen: News | None = None
    happened: Mapping[str, float] = field(default_factory=dict)


def line(told: Told, progress: Progress) -> tuple[str | None, Told]:
    """What a log says now, None for nothing, and what it has told then."""
    news = progress.news
    if news is not told.seen and news.text and not _is_old(told, progress):
        return progress.message, _having(told, progress, _key(progress))
    if _has_moved(told, progress) or progress.now - told.at >= HOUR:
        return _standing(progress), _having(told, progress)
    return None, replace(told, seen=news)


def _standing(progress: Progress) -> str:
    """Such as `2 in_progress, 1 completed`; how many are collected, if the steps are not told."""
    batches = [f"{number:,} {status}" for status, number in sorted(progress.batches.items())]
    collected = progress.counts.collected
    if collected and progress.shards > MANY:
        batches.append(f"{collected:,} of {progress.shards:,} collected")
    return ", ".join(batches) or progress.message


def _is_old(told: Told, progress: Progress) -> bool:
    """Whether the news were told already, or are not told of so many shards."""
    if progress.news.is_routine and progress.shards > MANY:
        return True
    return progress.now - told.happened.get(_key(progress), -math.inf) < HOUR


def _key(progress: Progress) -> str:
    """What makes the news the same as others: figures and ids do not, nor do shards if there are many."""
    if progress.news.is_routine:
        return progress.message
    text = _NUMBERED.sub("#", progress.news.text)
    return text if progress.shards > MANY else f"{progress.news.shard}: {text}"


def _has_moved(told: Told, progress: Progress) -> bool:
    if progress.shards <= MANY and progress.batches != told.batches:
        return True
    if progress.now - told.at < QUIET:
        return False
    return any(
        abs(now - before) >= SHARE * whole
        for now, before, whole in zip(_work(progress), told.work, _whole(progress), strict=True)
        if now != before
    )


def _work(progress: Progress) -> tuple[int, ...]:
    return progress.done, progress.counts.created, progress.counts.collected


def _whole(progress: Progress) -> tuple[int, ...]:
    return progress.lines, progress.shards, progress.shards


def _having(told: Told, progress: Progress, key: str | None = None) -> Told:
    now = progress.now
    happened = {each: at for each, at in told.happened.items() if now - at < HOUR}
    if key is not None:
        happened[key] = now
    return Told(now, _work(progress), progress.batches, progress.news, happened)
