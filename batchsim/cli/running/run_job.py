"""Run a job for `run` and `adopt`: with a job directory, a backend, a display, and its end."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from batchsim import errors
from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.cli.display.final_report import print_report
from batchsim.cli.display.job_json import print_job
from batchsim.cli.display.run_display import Display
from batchsim.cli.jobs.job import Begun, Job
from batchsim.cli.jobs.registry import register
from batchsim.cli.options.backend import real_backend
from batchsim.cli.running.signals import Stopping
from batchsim.cli.terminal.exit_codes import ALL_GOOD, INTERRUPTED, SOME_FAILED
from batchsim.cli.terminal.output import check_folder
from batchsim.clock import Clock, SystemClock
from batchsim.domain.validation.error_explanation import shown
from batchsim.runner.job import Stage
from batchsim.runner.progress import Progress, Report
from batchsim.runner.progress.forecast import History

COUNTS_SECONDS = 1.0
"""How often, in real time, the counts of running batches are written for other commands."""


@dataclass(slots=True)
class Observer:
    """Takes in every Progress of a run. `account` is asked once for earlier batches."""

    job: Job
    begun: Begun
    display: Display
    history: History
    stopping: Stopping
    account: Backend | None = None
    clock: Clock = field(default_factory=SystemClock)
    latest: Progress | None = None
    _counts_written: float = float("-inf")

    def observe(self, progress: Progress) -> None:
        """Take in how far the job is; called when that is on the disk."""
        if self.latest is None:
            self.job.write_begun(self.begun)
            register(self.job.path, self.clock.now())
        self.latest = progress
        self._read_history(progress)
        self.display.show(progress)
        self._write_counts(progress)
        self.stopping.recorded()

    def _read_history(self, progress: Progress) -> None:
        if self.account is None or not progress.batches:
            return
        account, self.account = self.account, None
        with suppress(errors.BatchsimError):
            for batch in account.list_batches(limit=100).data:
                self.history.add(batch)

    def _write_counts(self, progress: Progress) -> None:
        if self.clock.now() - self._counts_written < COUNTS_SECONDS:
            return
        self._counts_written = self.clock.now()
        batches = (shard.batch for shard in progress.states if shard.tally is None)
        self.job.write_counts({each.id: each.request_counts for each in batches if each})


_NAMED = 5
_UNANSWERED = frozenset({Stage.CREATING, Stage.UNKNOWN})


def explain_interrupted(backend: str, job: Path, progress: Progress | None) -> None:
    """Say on stderr which batches of an interrupted run go on, and how to return."""
    click.echo("interrupted; everything so far is in the journal", err=True)
    running = [shard for shard in progress.by_shard if shard.is_running] if progress else []
    if backend == "real" and running:
        some = counted(len(running), "batch goes", "batches go")
        click.echo(f"{some} on at the service and will be paid:", err=True)
        for shard in running[:_NAMED]:
            lines = counted(shard.lines, "line")
            text = f"{shard.batch_id} is {shard.status}, {shard.done:,} of {lines}"
            click.echo(f"  {shown(text)}", err=True)
        if len(running) > _NAMED:
            click.echo(f"  and {len(running) - _NAMED:,} more", err=True)
    in_doubt = (
        [shard for shard in progress.by_shard if shard.status in _UNANSWERED] if progress else []
    )
    if backend == "real" and in_doubt:
        click.echo(
            f"{counted(len(in_doubt), 'batch')} more may exist and be paid: no answer came to the "
            "create",
            err=True,
        )
    click.echo("hint: the same command goes on where this one stopped", err=True)
    if progress is not None:
        name = shlex.quote(str(job))
        text = f"`batchsim status {name}` shows the job, `batchsim cancel {name}` ends it"
        click.echo(f"hint: {text} and keeps what is done", err=True)


Start = Callable[["Backend", Callable[["Progress"], None]], "Report"]


def carry_out(
    backend: str,
    service: Callable[[], Backend],
    start: Start,
    *,
    job: Path,
    source: Path | None,
    results: Path,
    as_json: bool,
) -> int:
    """Run the job, show it, return the exit code. Raises what ends it before it is finished."""
    stopping, history = Stopping(), History()
    observer = None
    begun = Begun.here(source, results, sys.argv[1:])
    if results.parent != job:  # which is made, and would make what was mistyped
        check_folder(results)
    try:
        with _job_directory(job), stopping.on_signals(), Display(history) as display:
            opened = service()
            account = opened if backend == "real" else None
            observer = Observer(Job(job), begun, display, history, stopping, account)
            report = start(stopping.guarded(opened), observer.observe)
    except KeyboardInterrupt:
        explain_interrupted(backend, job, observer.latest if observer else None)
        code = INTERRUPTED
    except errors.JobIncomplete:
        if as_json:
            print_job(Job(job))
        raise
    else:
        print_report(report)
        code = ALL_GOOD if report.all_ok else SOME_FAILED
    if as_json and Job(job).exists:
        print_job(Job(job))
    return code


@contextmanager
def _job_directory(job: Path) -> Iterator[None]:
    """Make the directory; remove it again when the job was refused before it began."""
    is_new = True
    try:
        job.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        if not job.is_dir():
            raise errors.UsageError(
                f"the job directory {job} is a file", hint="name another: --job DIR"
            ) from error
        is_new = False
    except OSError as error:
        raise errors.UsageError(
            f"cannot make the job directory {job}: {error.strerror}", hint="name another: --job DIR"
        ) from None
    try:
        yield
    except (errors.InputError, errors.UsageError, errors.AuthenticationFailed):
        if is_new and not Job(job).exists:
            shutil.rmtree(job, ignore_errors=True)
        raise


def open_backend(backend: str, store: Path, *, seed: int = 0, **behaviour: Any) -> Backend:
    """Open the real service, or the simulator that keeps its files in the folder `store`.

    `behaviour` is more for the simulator: its scenario and faults.
    """
    if backend == "real":
        return real_backend()
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.stores.disk import DiskStore

    try:
        opened = DiskStore(store)
    except errors.UsageError as error:
        raise errors.JournalError(
            f"the simulator of {store.parent} cannot be opened: {error.message}",
            hint="if another run of this job is at work, wait for it or stop it; "
            "else name another job: --job DIR",
        ) from None
    clock = VirtualClock(opened.latest) if opened.latest else VirtualClock()
    try:
        return FakeBackend(seed=seed, clock=clock, store=opened, **behaviour)
    except BaseException:
        opened.close()
        raise
