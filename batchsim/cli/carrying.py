"""What `run` and `adopt` have in common: a job directory, a service, and a job that is told of."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchsim.cli.backend import real_backend
from batchsim.cli.failures import ALL_GOOD, INTERRUPTED, SOME_FAILED
from batchsim.cli.interrupted import tell_interrupted
from batchsim.cli.output import check_folder
from batchsim.errors import (
    AuthenticationFailed,
    InputError,
    JobIncomplete,
    JournalError,
    UsageError,
)

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.runner.report import Progress, Report

Start = Callable[["Backend", Callable[["Progress"], None]], "Report"]
"""Begins or continues a job at a service, and tells its progress."""


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
    """Run the job and tell of it; the exit code. Raises what ends it before it is finished.

    `backend` is "fake" or "real" and `service` opens it. `source` is the input's path, if it has one.
    """
    from batchsim.cli.job import Begun, Job
    from batchsim.cli.observer import Observer
    from batchsim.cli.outlook import Outlook
    from batchsim.cli.progress import Display
    from batchsim.cli.standing import print_job
    from batchsim.cli.stopping import Stopping

    stopping, outlook = Stopping(), Outlook()
    observer = None
    begun = Begun(
        input=os.path.realpath(source) if source else None,
        results=os.path.realpath(results),
        folder=os.path.realpath(Path.cwd()),
        arguments=tuple(sys.argv[1:]),
    )
    if results.parent != job:  # which is made, and would make what was mistyped
        check_folder(results)
    try:
        with _job_directory(job), stopping.on_signals(), Display(outlook) as display:
            opened = service()
            account = opened if backend == "real" else None
            observer = Observer(Job(job), begun, display, outlook, stopping, account)
            report = start(stopping.guarded(opened), observer.observe)
    except KeyboardInterrupt:
        tell_interrupted(backend, job, observer.latest if observer else None)
        code = INTERRUPTED
    except JobIncomplete:
        if as_json:
            print_job(Job(job))
        raise
    else:
        display.conclude(report)
        code = ALL_GOOD if report.all_ok else SOME_FAILED
    if as_json and Job(job).exists:
        print_job(Job(job))
    return code


@contextmanager
def _job_directory(job: Path) -> Iterator[None]:
    """Make the directory, and take it away again when the work was refused before it began."""
    from batchsim.cli.job import Job

    is_new = True
    try:
        job.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        if not job.is_dir():
            raise UsageError(
                f"the job directory {job} is a file", hint="name another: --job DIR"
            ) from error
        is_new = False
    except OSError as error:
        raise UsageError(
            f"cannot make the job directory {job}: {error.strerror}", hint="name another: --job DIR"
        ) from None
    try:
        yield
    except (InputError, UsageError, AuthenticationFailed):
        if is_new and not Job(job).exists:
            shutil.rmtree(job, ignore_errors=True)
        raise


def open_backend(backend: str, store: Path, *, seed: int = 0) -> Backend:
    """The service: the real one, or the simulator that keeps its files in the folder `store`."""
    if backend == "real":
        return real_backend()
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.stores.disk import DiskStore

    try:
        opened = DiskStore(store)
    except UsageError as error:
        raise JournalError(
            f"the simulator of {store.parent} cannot be opened: {error.message}",
            hint="if another run of this job is at work, wait for it or stop it; "
            "else name another job: --job DIR",
        ) from None
    clock = VirtualClock(opened.latest) if opened.latest else VirtualClock()
    return FakeBackend(seed=seed, clock=clock, store=opened)
