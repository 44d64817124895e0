"""`batchsim cancel`: end a job early and keep what it has done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from batchsim.cli.options.backend import provider_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED, explain
from batchsim.domain.validation.diagnosis import shown
from batchsim.errors import AuthenticationFailed, BatchsimError, Conflict

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.cli.jobs.job import Follower


@click.command()
@click.argument("name", metavar="JOB")
@provider_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object about the job.")
def cancel(*, name: str, as_json: bool) -> int:
    """End a job early: nothing more is sent, what is done is kept.

    Name the JOB by its results file or its job directory.

    Its batches are cancelled at the service, which takes up to ten minutes. Lines that have
    finished keep their results, and are paid. The others get a record that says so. If a runner is
    at work, it ends the job. If not, the command that began the job collects the results.
    """
    from batchsim.cli.display.job_json import job_object
    from batchsim.cli.jobs.find import find_job
    from batchsim.cli.terminal.output import print_json

    job = find_job(name)
    with job.reading() as follower:
        if follower.state.finished is not None:
            click.echo("the job is finished; there is nothing to cancel", err=True)
            code = ALL_GOOD
        else:
            job.ask_to_cancel()
            code = _cancel_batches(follower)
            for line in _next_step(follower):
                click.echo(line, err=True)
        if as_json:
            print_json(job_object(follower.view()))
    return code


def _cancel_batches(follower: Follower) -> int:
    """Cancel at the service at once, not when a runner looks; return the exit code."""
    from batchsim.runner.job import Stage

    state = follower.state
    live = [s.batch for s in state.shards.values() if s.stage is Stage.LIVE and s.batch]
    if not live or not follower.is_real:
        return ALL_GOOD
    try:
        backend = follower.backend()
    except AuthenticationFailed as error:
        if follower.job.runner() is None:
            raise AuthenticationFailed(
                f"the job is marked as cancelled, but its batches go on: {error.message}",
                hint=error.hint,
            ) from None
        click.echo("without a key the batches are left to the runner at work", err=True)
        return ALL_GOOD
    codes = [_cancel_batch(backend, batch.id) for batch in live]
    return max(codes)


def _cancel_batch(backend: Backend, identifier: str) -> int:
    try:
        batch = backend.cancel_batch(identifier)
    except Conflict:
        batch = backend.retrieve_batch(identifier)
    except AuthenticationFailed:
        raise
    except BatchsimError as error:
        explain(error)
        return SOME_FAILED
    status = batch.unknown_status or batch.status
    click.echo(f"{shown(batch.id)} is {shown(str(status))}", err=True)
    return ALL_GOOD


def _next_step(follower: Follower) -> Iterator[str]:
    if follower.job.runner() is not None:
        yield "the runner at work sends nothing more and collects what is done"
        return
    command = follower.job.begun.continued_by
    yield f"the job is marked as cancelled; {command} collects what is done"
