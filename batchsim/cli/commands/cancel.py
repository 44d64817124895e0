"""`batchsim cancel`: end a job early and keep what it has done."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from batchsim.cli.options.backend import provider_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD, INCOMPLETE, SOME_FAILED, explain
from batchsim.domain.validation.error_explanation import shown
from batchsim.errors import AuthenticationFailed, BatchsimError, Conflict

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.cli.jobs.job import Follower
    from batchsim.runner.job import JobState, ShardState


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

    If the create of a batch got no answer, the list is searched for the batch. Exits 75 if it is
    not there: it may exist, and the same command looks again.
    """
    from batchsim.cli.display.job_json import job_object
    from batchsim.cli.jobs.find import find_job
    from batchsim.cli.terminal.output import print_json

    job = find_job(name)
    with job.reading() as follower:
        state = follower.state
        if state.finished is not None and not _in_doubt(state):
            click.echo("the job is finished; there is nothing to cancel", err=True)
            code = ALL_GOOD
        else:
            if state.finished is None:
                job.ask_to_cancel()
            code = _cancel_batches(follower)
            for line in _next_step(follower):
                click.echo(line, err=True)
        if as_json:
            print_json(job_object(follower.view()))
    return code


def _in_doubt(state: JobState) -> list[ShardState]:
    """Return the shards with a create whose outcome is not known: a batch may exist."""
    from batchsim.runner.job import Stage

    unanswered = Stage.CREATING, Stage.UNKNOWN
    return [s for s in state.shards.values() if s.stage in unanswered or s.has_unfound_batch]


def _cancel_batches(follower: Follower) -> int:
    """Cancel at the service at once, not when a runner looks; return the exit code.

    The list is read as well: it may show batches whose create got no answer, and others that the
    journal lacks.
    """
    from batchsim.runner.job import Stage

    state = follower.state
    live = [s.batch for s in state.shards.values() if s.stage is Stage.LIVE and s.batch]
    in_doubt = _in_doubt(state)
    if not (live or in_doubt) or not follower.is_real:
        return ALL_GOOD
    try:
        backend = follower.backend()
    except AuthenticationFailed as error:
        if follower.job.runner() is None:
            doubt = "may go on" if in_doubt and not live else "go on"
            raise AuthenticationFailed(
                f"the job is marked as cancelled, but its batches {doubt}: {error.message}",
                hint=error.hint,
            ) from None
        click.echo("without a key the batches are left to the runner at work", err=True)
        return ALL_GOOD
    codes = [_cancel_batch(backend, batch.id) for batch in live]
    if in_doubt and follower.job.runner() is None:
        codes.append(_cancel_unanswered(backend, state, in_doubt))
    return max(codes, default=ALL_GOOD)


def _cancel_unanswered(backend: Backend, state: JobState, in_doubt: list[ShardState]) -> int:
    """Cancel the job's batches that the list shows and the journal lacks; return the exit code."""
    from batchsim.runner.effects.batch_list import listed_since
    from batchsim.runner.effects.ownership import earliest_time, owner
    from batchsim.runner.policy import is_running

    codes, found = [], set[int | None]()
    try:
        pages = partial(backend.list_batches, limit=100)
        for batch in listed_since(lambda after: pages(after=after), earliest_time(state)):
            number = owner(state, batch)
            if number is None or batch.id in state.batch_shards:
                continue
            found.add(number)
            codes += [_cancel_batch(backend, batch.id)] if is_running(batch) else []
    except AuthenticationFailed:
        raise
    except BatchsimError as error:
        codes.append(explain(error))
    for shard in in_doubt:
        if shard.plan.shard not in found:
            file = f" over {shard.file_id}" if shard.file_id else ""
            text = f"a create{file} got no answer: a batch may exist, run and be paid"
            click.echo(shown(text), err=True)
            codes.append(INCOMPLETE)
    if INCOMPLETE in codes:
        click.echo(
            "hint: the list does not show it; the same command looks again, and "
            "`batchsim batches list` shows what there is",
            err=True,
        )
    return max(codes, default=ALL_GOOD)


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
    if follower.state.finished is not None:
        return
    command = follower.job.begun.continued_by
    yield f"the job is marked as cancelled; {command} collects what is done"
