"""`batchsim run`: an input file in, one result per line in input order out."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from batchsim.cli.backend import backend_options, real_backend, refuse_to_guess
from batchsim.cli.failures import ALL_GOOD, INTERRUPTED, SOME_FAILED
from batchsim.cli.policy import policy_options
from batchsim.cli.standard_input import STANDARD_INPUT, keep_standard_input
from batchsim.errors import AuthenticationFailed, InputError, JournalError, UsageError

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.runner.policy import Policy
    from batchsim.runner.report import Report

STANDARD_OUTPUT = "-"


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
) -> int:
    """Run the requests of INPUT (a JSONL file, or - for standard input) and restore their order.

    The input is checked first; nothing is sent unless all of it is valid (or --skip-invalid). It is cut into as many
    batches as the limits ask for. Each line of the results is one line of the API's output or
    error file, in input order; lines that expired, were cancelled or got lost say so.

    Every step is journalled: if this stops for any reason, the same command goes on where it was.
    """
    if backend is None:
        raise refuse_to_guess("run")
    if output == STANDARD_OUTPUT:
        output = None
    try:
        with _kept_input(requests) as (kept, name):
            job = job or Path(f"{output or name}.job")
            results = Path(output) if output else job / "results.jsonl"
            report = _run(
                backend,
                kept,
                results,
                job,
                policy,
                seed=seed,
                any_model=any_model,
                skip_invalid=skip_invalid,
            )
    except KeyboardInterrupt:
        _tell_interrupted(backend)
        return INTERRUPTED
    if not output:
        _copy_to_stdout(results)
    return ALL_GOOD if report.all_ok else SOME_FAILED


def _run(
    backend: str,
    source: Path | _Spooled,
    results: Path,
    job: Path,
    policy: Policy,
    *,
    seed: int,
    any_model: bool,
    skip_invalid: bool,
) -> Report:
    from batchsim.cli.progress import Display
    from batchsim.domain.endpoints import is_openai_model
    from batchsim.runner.run import run as run_job

    with _job_directory(job), Display() as display:
        report = run_job(
            _settled(source, job),
            _open_backend(backend, job, seed),
            results=results,
            job=job,
            supports=(lambda _: True) if any_model else is_openai_model,
            policy=policy,
            skip_invalid=skip_invalid,
            observe=display.show,
        )
    display.conclude(report)
    return report


@contextmanager
def _job_directory(job: Path) -> Iterator[None]:
    """Make the directory, and take it away again when the work was refused before it began."""
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
        if is_new:
            shutil.rmtree(job, ignore_errors=True)
        raise


def _open_backend(backend: str, job: Path, seed: int) -> Backend:
    if backend == "real":
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
    return FakeBackend(seed=seed, clock=clock, store=store)


@contextmanager
def _kept_input(requests: str) -> Iterator[tuple[Path | _Spooled, str]]:
    """The input, and what its job is named after; of standard input, that is its content."""
    if requests != STANDARD_INPUT:
        yield Path(requests), requests
        return
    digest = hashlib.blake2b(digest_size=6)
    with tempfile.TemporaryDirectory(prefix="batchsim-") as folder:
        spooled = _Spooled(Path(folder) / "stdin.jsonl")
        with spooled.path.open("wb") as spool:
            keep_standard_input(spool, observe=digest.update)
        try:
            yield spooled, f"batchsim-{digest.hexdigest()}"
        except InputError as error:
            error.path = "standard input"
            raise


class _Spooled(NamedTuple):
    """Standard input in a file that does not outlive this process."""

    path: Path


def _settled(source: Path | _Spooled, job: Path) -> Path:
    """The path of the input; standard input moves into the job directory, to be there next time."""
    if isinstance(source, Path):
        return source
    return Path(shutil.move(source.path, job / source.path.name))


def _copy_to_stdout(results: Path) -> None:
    with results.open("rb") as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()


def _tell_interrupted(backend: str) -> None:
    click.echo("interrupted; everything so far is in the journal", err=True)
    if backend == "real":
        click.echo("batches that were created go on running at the service", err=True)
    click.echo("hint: the same command goes on where this one stopped", err=True)
