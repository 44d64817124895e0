"""A running job on a terminal: a table of its shards on stderr, redrawn in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from batchsim.cli.display.job_text import COLUMNS, row, split, whole_job
from batchsim.clock import Clock, SystemClock
from batchsim.domain.validation.error_explanation import shown
from batchsim.runner.progress import Progress
from batchsim.runner.progress.job_summary import JobSummary, JobTracker

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod, RenderableType

LOOK_SECONDS = 0.2
"""The real time between two looks; a simulated job may take a thousand steps meanwhile."""

OTHER_LINES = 6
_LONGEST_CELL = 40
_SHRINKING = ("BATCH", "MODEL")


class LiveDisplay:
    """Draws the job a few times a second; a context manager that leaves the last drawing."""

    def __init__(
        self, tracker: JobTracker, console: Console | None = None, clock: Clock | None = None
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._tracker = tracker
        self._console = console or Console(stderr=True)
        self._clock = clock or SystemClock()
        self._looked = float("-inf")
        self._latest: Progress | None = None
        self._summary: JobSummary | None = None
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=4,
            transient=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        self._live.stop()

    def show(self, progress: Progress) -> None:
        self._latest = progress
        if self._clock.now() - self._looked >= LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        self._looked = self._clock.now()
        if self._latest is not None:
            self._summary = self._tracker.look(self._latest)

    def _render(self) -> RenderableType:
        if self._summary is None:
            return ""
        return rendered(self._summary, self._console.size.height - OTHER_LINES)


def rendered(summary: JobSummary, rows: int) -> RenderableType:
    """Return a table of at most so many shards (at least one), and the whole job below it."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in COLUMNS:
        shrinks = column.name in _SHRINKING
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(column.name, justify=justify, no_wrap=not shrinks, overflow="ellipsis")
    progress = summary.progress
    first, rest = split(summary.shards, max(1, rows))
    for shard in first:
        table.add_row(*(Text(shown(cell, _LONGEST_CELL)) for cell in row(shard, progress.now)))
    parts: list[RenderableType] = [table]
    if rest:
        parts.append(Text(rest, style="dim"))
    bar = ProgressBar(total=max(1, progress.lines), completed=progress.done, width=20)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(bar, whole_job(summary))
    parts.append(grid)
    if progress.message:
        parts.append(Text(shown(progress.message, 200), style="dim", no_wrap=True))
    return Group(*parts)
