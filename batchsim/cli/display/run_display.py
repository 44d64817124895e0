"""A run on stderr: a live table on a terminal, log lines elsewhere, and a warning of expiry."""

import sys
from datetime import UTC, datetime
from typing import Self

import click

from batchsim.cli.display.job_text import left_text
from batchsim.cli.display.log_lines import Written, line, with_counts
from batchsim.domain.limits import DAY, HOUR
from batchsim.runner.progress import Progress
from batchsim.runner.progress.forecast import History
from batchsim.runner.progress.job_summary import JobTracker

EXPIRY_WARNING = 5 * DAY
"""So many seconds before results expire at the service there is a warning."""


class Display:
    """Shows each Progress of one job; a context manager: a live table must be taken down."""

    def __init__(self, history: History | None = None) -> None:
        self._tracker = JobTracker(history, priced=sys.stderr.isatty())
        self._live = None
        if sys.stderr.isatty():
            from batchsim.cli.display.live_table import LiveDisplay

            self._live = LiveDisplay(self._tracker)
        self._written = Written()
        self._has_warned = False
        self._checked = float("-inf")

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.__exit__()

    def show(self, progress: Progress) -> None:
        self._warn(progress)
        if self._live:
            self._live.show(progress)
            return
        text, self._written = line(self._written, progress)
        if text is not None:
            left = left_text(self._tracker.look(progress))
            click.echo(with_counts(progress, text, left), err=True)

    def _warn(self, progress: Progress) -> None:
        """Warn once that results are about to expire at the service."""
        if self._has_warned or progress.now - self._checked < HOUR:
            return
        self._checked = progress.now
        expires = progress.results_expire
        if expires is None or expires - progress.now > EXPIRY_WARNING:
            return
        self._has_warned = True
        when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M UTC")
        click.echo(
            f"warning: results that are not here yet expire at the service on {when}", err=True
        )
