"""A running job in a log: what happened, counts now and then, a sign of life every hour.

Theory of operation. A log is read afterwards, perhaps after a night, so each line must be worth its
space. `line` decides by these rules.

1. A message is written once within an hour; something that is tried again and again is one line.
   In a job of many shards the routine steps of each shard are not written one by one.
2. Otherwise a line gives the counts: when the batches by status have changed, when another
   twentieth of the work is done (at most once a minute), or when the log was silent for an hour.

So a log grows with what happens, not with time and not with the number of shards.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from batchsim.amounts import counted
from batchsim.cli.display.job_text import counts_text
from batchsim.cli.terminal.exit_codes import LONGEST
from batchsim.domain.limits import HOUR
from batchsim.domain.validation.error_explanation import shown
from batchsim.runner.progress import Message, Progress

MANY = 20
"""In a job of more shards than these the steps of each are not written one by one."""

SHARE = 1 / 20
"""The counts are written again when so much more of the work is done."""

QUIET = 60.0
"""For so many seconds after a line the counts are not written again."""

_NUMBERED = re.compile(r"\S*\d\S*(?: (?:s|min|h)\b)?")


@dataclass(frozen=True, slots=True)
class Written:
    """The end of a log (times on the job's clock); `seen` is the latest message, written or not."""

    at: float = -math.inf
    work: tuple[int, ...] = (0, 0, 0)
    batches: Mapping[str, int] = field(default_factory=dict)
    seen: Message | None = None
    happened: Mapping[str, float] = field(default_factory=dict)


def line(written: Written, progress: Progress) -> tuple[str | None, Written]:
    """Return the next line of the log, None for nothing, and the end of the log with it."""
    latest = progress.latest
    if latest is not written.seen and latest.text and not _is_old(written, progress):  # rule 1
        return progress.message, _with_line(written, progress, _key(progress))
    if _has_moved(written, progress) or progress.now - written.at >= HOUR:  # rule 2
        return _counts(progress), _with_line(written, progress)
    return None, replace(written, seen=latest)


def with_counts(progress: Progress, text: str, left: str) -> str:
    """Return a whole line: the time since the start, `text`, the lines done, the time left."""
    elapsed = f"{progress.now - progress.started:6.0f} s  "
    counts = f"{progress.done:,} of {counted(progress.lines, 'line')} done"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    return f"{elapsed}{shown(text, LONGEST)}; {counts}{failed}{f', {left}' if left else ''}"


def _counts(progress: Progress) -> str:
    """Return such as `2 in_progress, 1 completed`, and in many shards how many are collected."""
    text, collected = counts_text(progress.batches), progress.counts.collected
    if collected and progress.shards > MANY:
        some = f"{collected:,} of {progress.shards:,} collected"
        text = f"{text}, {some}" if text else some
    return text or progress.message


def _is_old(written: Written, progress: Progress) -> bool:
    if progress.latest.is_routine and progress.shards > MANY:
        return True
    return progress.now - written.happened.get(_key(progress), -math.inf) < HOUR


def _key(progress: Progress) -> str:
    """Return the same for messages that differ in figures and ids only, or in shards if many."""
    if progress.latest.is_routine:
        return progress.message
    text = _NUMBERED.sub("#", progress.latest.text)
    return text if progress.shards > MANY else f"{progress.latest.shard}: {text}"


def _has_moved(written: Written, progress: Progress) -> bool:
    if progress.shards <= MANY and progress.batches != written.batches:
        return True
    if progress.now - written.at < QUIET:
        return False
    all_work = progress.lines, progress.shards, progress.shards
    return any(
        abs(now - before) >= SHARE * whole
        for now, before, whole in zip(_work(progress), written.work, all_work, strict=True)
        if now != before
    )


def _work(progress: Progress) -> tuple[int, ...]:
    return progress.done, progress.counts.created, progress.counts.collected


def _with_line(written: Written, progress: Progress, key: str | None = None) -> Written:
    now = progress.now
    happened = {each: at for each, at in written.happened.items() if now - at < HOUR}
    if key is not None:
        happened[key] = now
    return Written(now, _work(progress), progress.batches, progress.latest, happened)
