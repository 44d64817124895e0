"""Where a job stands, as commands tell it: in words, and as one JSON object of a lasting shape.

The object is what `run`, `status`, `jobs`, `watch`, `cancel`, `results` and `recover` print with `--json`.
Keys are added to it, never taken away or given another meaning. Times are unix seconds on the
job's own clock, money is in US dollars, and null stands for what is not known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from batchsim.amounts import instant
from batchsim.cli.display.job_summary import COLUMNS, Outlook, by_status, most_telling, shard_object
from batchsim.cli.terminal.exit_codes import ALL_GOOD, INCOMPLETE, SOME_FAILED
from batchsim.cli.terminal.output import near, print_json
from batchsim.cli.terminal.table import details, table
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.progress.forecast import History
from batchsim.runner.progress.report import unfound

if TYPE_CHECKING:
    from batchsim.cli.jobs.job import Follower, Job
    from batchsim.runner.progress.report import Progress

FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"
"""The states of a job: its results are written; a runner is at work; neither."""


def state_of(follower: Follower) -> str:
    """Which of the three states the job is in."""
    if follower.state.finished is not None:
        return FINISHED
    return RUNNING if follower.job.runner() is not None else STOPPED


def job_code(follower: Follower) -> int:
    """The exit code that tells how the job stands: as `run` would end."""
    if follower.state.finished is None:
        return INCOMPLETE
    tally = follower.state.finished.tally
    return ALL_GOOD if tally.ok == tally.lines else SOME_FAILED


def own_history(progress: Progress) -> History:
    """What the job's own batches tell of how long batches take."""
    return History(shard.batch for shard in progress.states if shard.batch)


def job_object(follower: Follower, *, with_shards: bool = False) -> dict[str, Any]:
    """The job as a JSON object; `with_shards` adds `by_shard`, one object for each."""
    job, state, progress = follower.job, follower.state, follower.progress()
    begun, started = job.begun, state.started
    outlook = Outlook(own_history(progress))
    outlook.look(progress)
    finished, usage = state.finished, state.tally().usage
    paid = outlook.spent
    value: dict[str, Any] = {
        "job": os.path.realpath(job.path),
        "state": state_of(follower),
        "service": follower.service,
        "run": started.run if started else None,
        "input": begun.input,
        "results": os.path.realpath(job.results),
        "command": begun.command,
        "begun_at": state.started_at,
        "updated_at": follower.latest,
        "finished_at": state.finished_at if finished else None,
        "lines": progress.lines,
        "done": progress.done,
        "failed": progress.failed,
        "outcomes": _outcomes(finished.tally) if finished else None,
        "unfound": unfound(progress.states),
        "rounds": state.round,
        "shards": progress.shards,
        "batches": dict(progress.batches),
        "usage": {
            **usage._asdict(),
            "total_tokens": usage.total_tokens,
        },
        "spent_usd": None if paid is None else float(paid),
        "reserved_usd": float(outlook.reserved),
        "seconds_left": outlook.seconds_left(),
    }
    if with_shards:
        value["by_shard"] = [shard_object(each, outlook) for each in outlook.shards]
    return value


def _outcomes(tally: Tally) -> dict[str, int]:
    return {each.name: getattr(tally, each.name) for each in fields(Tally) if each.type == "int"}


def print_job(job: Job) -> None:
    """Print the job as a JSON object on one line of stdout."""
    with job.reading() as follower:
        print_json(job_object(follower))


def description(follower: Follower, most_shards: int | None) -> Iterator[str]:
    """The job in words, with a table of at most so many shards (all for None)."""
    progress = follower.progress()
    outlook = Outlook(own_history(progress))
    outlook.look(progress)
    yield from details([(name, text) for name, text in _facts(follower, outlook) if text])
    shards = outlook.shards
    told = shards if most_shards is None else most_telling(shards, most_shards)
    yield ""
    yield from table(COLUMNS, (outlook.row(shard) for shard in told))
    kept = {shard.shard for shard in told}
    rest = [shard for shard in shards if shard.shard not in kept]
    if rest:
        yield f"and {len(rest):,} more: {by_status(rest)}; --all shows them"


def _facts(follower: Follower, outlook: Outlook) -> Iterator[tuple[str, str]]:
    job, progress = follower.job, follower.progress()
    finished = follower.state.finished
    outcomes = _outcomes(finished.tally) if finished else {}
    yield "job", near(job.path)
    yield "service", follower.service
    yield "state", state_in_words(follower)
    yield "begun", instant(int(follower.state.started_at))
    yield "last news", instant(int(follower.latest))
    yield "lines", f"{progress.done:,} of {progress.lines:,} done, {progress.failed:,} failed"
    yield "outcomes", ", ".join(f"{count:,} {name}" for name, count in outcomes.items() if count)
    yield "batches", by_status(outlook.shards)
    yield "money", outlook.money()
    yield "time left", outlook.left()
    yield "results", near(job.results) if finished else ""


def state_in_words(follower: Follower) -> str:
    """The state of the job, and who is at work on it."""
    state, runner = state_of(follower), follower.job.runner()
    if state == RUNNING and runner is not None:
        return f"running: process {runner.pid} on {runner.host} is at work"
    return state


def how_to_go_on(follower: Follower) -> None:
    """Say on stderr what continues a job that stopped."""
    with suppress(OSError):
        command = follower.job.begun.command
        text = f"`{command}` goes on with it" if command else "the command that began it goes on"
        click.echo(f"hint: {text}", err=True)
