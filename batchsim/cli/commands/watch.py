"""`batchsim watch`: follow a job that another process runs, or that nobody runs at the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batchsim.cli.options.backend import provider_option
from batchsim.cli.terminal.exit_codes import INCOMPLETE
from batchsim.clock import Clock, SystemClock
from batchsim.errors import AuthenticationFailed, RateLimited, Unavailable

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.cli.display.run_display import Display
    from batchsim.cli.jobs.job import Follower
    from batchsim.runner.progress import Progress

GLANCE_SECONDS = 1.0
LOOK_SECONDS = 20.0
"""The time between two polls of the service, when no runner polls it."""


@click.command()
@click.argument("name", metavar="[JOB]", required=False)
@provider_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object at every change.")
def watch(*, name: str | None, as_json: bool) -> int:
    """Follow a job to its end.

    Name the JOB by its results file or its job directory; without a name it is the latest one.

    While a runner is at work, this reads what the runner writes: it needs no key and disturbs
    nothing. If no runner is at work, it asks the service (OPENAI_API_KEY) until the batches have
    ended; the command that began the job then collects the results. Exits as `batchsim run` does.
    Ctrl-C ends the watching, not the job.
    """
    from batchsim.cli.display.job_text import state_text
    from batchsim.cli.display.run_display import Display
    from batchsim.cli.jobs.find import find_job
    from batchsim.runner.progress.job_summary import own_history

    with find_job(name).reading() as follower:
        with Display(own_history(follower.progress())) as display:
            _follow(follower, _Printer(follower, display, as_json=as_json), SystemClock())
        view = follower.view()
        click.echo(state_text(view), err=True)
        if view.code == INCOMPLETE:
            click.echo(f"hint: {view.begun.continued_by} goes on with it", err=True)
    return view.code


class _Printer:
    def __init__(self, follower: Follower, display: Display, *, as_json: bool) -> None:
        self._follower = follower
        self._display = display
        self._as_json = as_json
        self._printed: object = None

    def show(self, now: float | None = None) -> None:
        from batchsim.cli.display.job_json import job_object
        from batchsim.cli.terminal.output import print_json

        progress = self._follower.progress(now)
        self._display.show(progress)
        if self._as_json and _essence(progress) != self._printed:
            self._printed = _essence(progress)
            print_json(job_object(self._follower.view()))


def _essence(progress: Progress) -> object:
    return progress.done, progress.failed, progress.batches, progress.message


def _follow(follower: Follower, printer: _Printer, clock: Clock) -> None:
    """Read the journal again and again; poll the service when no runner is at work."""
    looker = _Looker(follower, clock)
    while True:
        follower.refresh()
        is_run = follower.job.runner() is not None
        printer.show(None if is_run or follower.state.finished else looker.now)
        if follower.state.finished is not None:
            return
        if is_run:
            clock.sleep(GLANCE_SECONDS)
        elif not looker.look():
            return


class _Looker:
    def __init__(self, follower: Follower, clock: Clock) -> None:
        self._follower = follower
        self._clock = clock
        self._backend: Backend | None = None
        self.now: float | None = None

    def look(self) -> bool:
        """Poll all live batches; return False when there are none."""
        from batchsim.runner.job import Stage
        from batchsim.runner.journal.shard_entries import Observed

        state = self._follower.state
        live = [(n, s.batch) for n, s in state.shards.items() if s.stage is Stage.LIVE and s.batch]
        if not live or not self._follower.is_real:
            return False
        if self._backend is None:
            try:
                self._backend = self._follower.backend()
            except AuthenticationFailed as error:
                click.echo(f"nobody runs the job, and the service is not asked: {error}", err=True)
                return False
        elif self.now is not None:
            self._clock.sleep(LOOK_SECONDS)
        for number, batch in live:
            try:
                seen = self._backend.retrieve_batch(batch.id)
            except (Unavailable, RateLimited) as error:
                click.echo(f"{error.message}; trying again", err=True)
                break
            state.apply(self._clock.now(), Observed(shard=number, batch=seen))
        self.now = self._clock.now()
        return True
