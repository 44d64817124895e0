"""How a running job looks: a live bar on a terminal, plain lines elsewhere; all on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from batchsim.runner.report import Progress, Report

QUIET_SECONDS = 60.0
"""On plain lines, how much of the job's own time may pass before the counts are told again."""


class Display:
    """Shows each Progress of one job; a context manager, because a live bar must be taken down."""

    def __init__(self) -> None:
        self._bar = _live_bar() if sys.stderr.isatty() else None
        self._told: tuple[str, float] = ("", float("-inf"))

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Bring the display up to date."""
        if self._bar:
            if not self._bar.tasks:
                self._bar.add_task("", total=progress.lines, time_left="")
            self._bar.update(
                self._bar.tasks[0].id,
                completed=progress.done,
                total=progress.lines,
                description=batches_by_status(progress) or progress.message,
                time_left=time_left(progress),
            )
            return
        told, at = self._told
        if progress.message != told:
            click.echo(plain_line(progress, progress.message), err=True)
        elif progress.now - at >= QUIET_SECONDS:
            click.echo(plain_line(progress, batches_by_status(progress)), err=True)
        else:
            return
        self._told = (progress.message, progress.now)

    def conclude(self, report: Report) -> None:
        """Say how the job ended and where its results are."""
        click.echo(summary(report), err=True)
        for line in oddities(report):
            click.echo(line, err=True)


def plain_line(progress: Progress, text: str) -> str:
    """One line: the time since the start, what `text` says, and how far the lines are."""
    elapsed = f"{progress.now - progress.started:6.0f} s  "
    counts = f"{progress.done:,} of {progress.lines:,} lines done"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    left = time_left(progress)
    return f"{elapsed}{text}; {counts}{failed}{f', {left}' if left else ''}"


def batches_by_status(progress: Progress) -> str:
    """Such as `2 in_progress, 1 completed`."""
    return ", ".join(f"{number} {status}" for status, number in sorted(progress.batches.items()))


def time_left(progress: Progress) -> str:
    """A guess from the lines done so far, or nothing when there is nothing to guess from."""
    if not 0 < progress.done < progress.lines:
        return ""
    rate = progress.done / max(1.0, progress.now - progress.started)
    seconds = (progress.lines - progress.done) / rate
    return f"about {duration(seconds)} left"


def summary(report: Report) -> str:
    """What became of the lines, in one line."""
    names = ("ok", "failed", "expired", "cancelled", "missing", "invalid")
    counts = [(getattr(report, name), name) for name in names]
    told = ", ".join(f"{number:,} {name}" for number, name in counts if number or name == "ok")
    batches = f"{report.shards:,} batch{'es' if report.shards != 1 else ''}"
    took = duration(report.seconds)
    resent = f", {report.resent:,} lines sent again" if report.resent else ""
    return f"{report.lines:,} lines: {told}; {batches}{resent}, {took}; results in {report.results}"


MOST_ODDITIES = 20
"""So many differences are told one by one."""


def oddities(report: Report) -> Iterator[str]:
    """What was not as it should be, one line each."""
    told = [
        f"shard {number}: {difference.words}"
        for number, differences in report.differences.items()
        for difference in differences
    ]
    yield from told[:MOST_ODDITIES]
    if len(told) > MOST_ODDITIES:
        yield f"and {len(told) - MOST_ODDITIES:,} more differences, in the journal"
    if report.quarantined:
        yield (
            f"{report.quarantined:,} result lines that have no place in the results were set aside "
            f"in {report.ledger.parent / 'shards'}"
        )


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole / 60:.0f} min" if whole < 7200 else f"{whole / 3600:.1f} h"


def _live_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[time_left]}"),
        console=Console(stderr=True),
    )
