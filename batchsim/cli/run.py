"""`batchsim run`: an input file in, one result per line in input order out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from batchsim.cli.backend import backend_options, real_backend, refuse_to_guess
from batchsim.cli.failures import ALL_GOOD, INTERRUPTED, SOME_FAILED
from batchsim.cli.interrupted import tell_interrupted
from batchsim.cli.output import STANDARD_OUTPUT
from batchsim.cli.policy import policy_options
from batchsim.cli.standard_input import Spooled, kept_input, settled
from batchsim.errors import (
    AuthenticationFailed,
    InputError,
    JobIncomplete,
    JournalError,
    UsageError,
)

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.cli.job import Begun
    from batchsim.runner.policy import Policy


@click.command()
@backend_options
@policy_options
@click.argument("requests", metavar="INPUT")
@click.option(
    "-o",
    "--output",
    metavar="RESULTS",
    help="Write the results to this file once they are complete (standard output unless given, or for -).",
)
@click.option(
    "--job",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the job keeps its journal and downloads [default: RESULTS.job or INPUT.job].",
)
@click.option(
    "--seed", default=0, show_default=True, help="What the simulator's chance depends on."
)
@click.option(
    "--skip-invalid",
    is_flag=True,
    help="Leave out invalid lines instead of refusing the input; each gets an error record.",
)
@click.option("--any-model", is_flag=True, help="Accept models that are not OpenAI's.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object about the job; needs -o."
)
def run(
    *,
    backend: str | None,
    requests: str,
    output: str | None,
    job: Path | None,
    seed: int,
    any_model: bool,
    skip_invalid: bool,
    policy: Policy,
    as_json: bool,
) -> int:
    """Run the requests of INPUT (a JSONL file, or - for standard input) and restore their order.

    The input is checked first; nothing is sent unless all of it is valid (or --skip-invalid).
    It is cut into as many batches as the limits ask for. Each line of the results is one line of
    the API's output or error file, in input order; lines that expired, were cancelled or got lost
    say so.

    Every step is journalled: if this stops for any reason, the same command goes on where it was.
    Ctrl-C and SIGTERM let a create under way finish first; a second one stops at once.
    """
    if backend is None:
        raise refuse_to_guess("run")
    if output == STANDARD_OUTPUT:
        output = None
    if as_json and not output:
        raise UsageError(
            "--json prints on standard output, where the results would go",
            hint="name a file for the results: -o RESULTS",
        )
    with kept_input(requests) as (kept, name):
        job = job or Path(f"{output or name}.job")
        results = Path(output) if output else job / "results.jsonl"
        settings = _Settings(backend, policy, seed, any_model, skip_invalid)
        code = _run(settings, kept, results, job, as_json=as_json)
    if not output and code in (ALL_GOOD, SOME_FAILED):
        _copy_to_stdout(results)
    return code


class _Settings(NamedTuple):
    backend: str
    policy: Policy
    seed: int
    any_model: bool
    skip_invalid: bool


def _run(
    settings: _Settings, source: Path | Spooled, results: Path, job: Path, *, as_json: bool
) -> int:
    """Run the job and tell of it; the exit code. Raises what ends it before it is finished."""
    from batchsim.cli.job import Job
    from batchsim.cli.observer import Observer
    from batchsim.cli.progress import Display
    from batchsim.cli.shards import Outlook
    from batchsim.cli.standing import print_job
    from batchsim.cli.stopping import Stopping
    from batchsim.runner.run import run as run_job

    stopping, outlook = Stopping(), Outlook()
    observer = None
    try:
        with _job_directory(job), stopping.on_signals(), Display(outlook) as display:
            service = _open_backend(settings, job)
            account = service if settings.backend == "real" else None
            begun = _begun(source, results)
            observer = Observer(Job(job), begun, display, outlook, stopping, account)
            report = run_job(
                settled(source, job),
                stopping.guarded(service),
                results=results,
                job=job,
                supports=(lambda _: True) if settings.any_model else None,
                policy=settings.policy,
                skip_invalid=settings.skip_invalid,
                observe=observer.observe,
            )
    except KeyboardInterrupt:
        tell_interrupted(settings.backend, job, observer.latest if observer else None)
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


def _begun(source: Path | Spooled, results: Path) -> Begun:
    """How this run was started, for `status` and others to tell."""
    from batchsim.cli.job import Begun

    return Begun(
        input=os.path.realpath(source) if isinstance(source, Path) else None,
        results=os.path.realpath(results),
        folder=os.path.realpath(Path.cwd()),
        arguments=tuple(sys.argv[1:]),
    )


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


def _open_backend(settings: _Settings, job: Path) -> Backend:
    if settings.backend == "real":
        return real_backend()
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.stores.disk import DiskStore

    try:
        store = DiskStore(job / "fake")
    except UsageError as error:
        raise JournalError(
            f"the simulator of {job} cannot be opened: {error.message}",
            hint="if another run of this job is at work, wait for it or stop it; "
            "else name another job: --job DIR",
        ) from None
    clock = VirtualClock(store.latest) if store.latest else VirtualClock()
    return FakeBackend(seed=settings.seed, clock=clock, store=store)


def _copy_to_stdout(results: Path) -> None:
    with results.open("rb") as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()
