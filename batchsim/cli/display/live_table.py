"""A running job on a terminal: a table of its shards that is redrawn in place, on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from batchsim.amounts import counted
from batchsim.cli.display.job_summary import COLUMNS, Outlook, by_status, most_telling
from batchsim.clock import Clock, SystemClock
from batchsim.domain.validation.diagnosis import shown

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod, RenderableType

    from batchsim.runner.progress.report import Progress

LOOK_SECONDS = 0.2
"""How often, in real time, the job is looked at; a simulated one may take a thousand steps meanwhile."""

OTHER_LINES = 6
"""The lines of the display that are no shard's."""

_LONGEST_CELL = 40
_SHRINKING = ("BATCH", "MODEL")
"""The columns that are cut short first where a terminal is narrow."""


class LiveDisplay:
    """Draws the latest Progress a few times a second; a context manager that leaves the last one.

    `clock` is the real one, and `console` the terminal.
    """

    def __init__(
        self, outlook: Outlook, console: Console | None = None, clock: Clock | None = None
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._outlook = outlook
        self._console = console or Console(stderr=True)
        self._clock = clock or SystemClock()
        self._looked = float("-inf")
        self._latest: Progress | None = None
        self._seen: Progress | None = None
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
        """Take in where the job stands; it is drawn soon."""
        self._latest = progress
        if self._clock.now() - self._looked >= LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        self._looked = self._clock.now()
        if self._latest is not None:
            self._outlook.look(self._latest)
            self._seen = self._latest

    def _render(self) -> RenderableType:
        if self._seen is None:
            return ""
        return rendered(self._seen, self._outlook, self._console.size.height - OTHER_LINES)


def rendered(progress: Progress, outlook: Outlook, rows: int) -> RenderableType:
    """The table of at most so many shards (at least one), and the job as a whole below it.

    `outlook` is what was seen when `progress` was looked at.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in COLUMNS:
        gives_way = column.name in _SHRINKING
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(column.name, justify=justify, no_wrap=not gives_way, overflow="ellipsis")
    shards = outlook.shards
    told = most_telling(shards, max(1, rows))
    for shard in told:
        cells = outlook.row(shard)
        table.add_row(*(Text(shown(cell, _LONGEST_CELL)) for cell in cells))
    parts: list[RenderableType] = [table]
    kept = {shard.shard for shard in told}
    rest = [shard for shard in shards if shard.shard not in kept]
    if rest:
        parts.append(Text(f"and {len(rest):,} more: {by_status(rest)}", style="dim"))
    bar = Table.grid(padding=(0, 1))
    lines = max(1, progress.lines)
    bar.add_row(
        ProgressBar(total=lines, completed=progress.done, width=20), whole(progress, outlook)
    )
    parts.append(bar)
    if progress.message:
        parts.append(Text(shown(progress.message, 200), style="dim", no_wrap=True))
    return Group(*parts)


def whole(progress: Progress, outlook: Outlook) -> str:
    """The job as a whole, in one line."""
    parts = [
        f"{progress.done:,} of {counted(progress.lines, 'line')} done",
        f"{progress.failed:,} failed" if progress.failed else "",
        outlook.rate(),
        outlook.left(),
        outlook.money(),
    ]
    return ", ".join(part for part in parts if part)
