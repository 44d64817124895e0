"""`batchsim jobs`: the jobs that were begun on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from batchsim.amounts import distance
from batchsim.cli.jobs import registry
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.cli.terminal.output import near, print_json
from batchsim.cli.terminal.table import columns, table
from batchsim.clock import SystemClock
from batchsim.errors import JournalError

GONE, UNREADABLE = "gone", "unreadable"
"""States of a job in the list whose directory is not there, or cannot be read, any more."""

_COLUMNS = columns(
    "STATE", ">LINES", ">DONE", ">FAILED", ">BATCHES", ">CONTINUED", "SERVICE", "JOB"
)


@click.command()
@click.option("--forget", is_flag=True, help="Take those that are gone out of the list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per job.")
def jobs(*, forget: bool, as_json: bool) -> int:
    """List the jobs begun on this machine, the latest first.

    This reads journals only: it needs no key and disturbs no runner. A job whose directory was
    moved or deleted is shown as gone; other commands find a moved one by its new name.
    """
    seen = [_look(entry) for entry in registry.registered()]
    if forget:
        for job in seen:
            if job.value["state"] == GONE:
                registry.forget(job.entry.path)
        seen = [job for job in seen if job.value["state"] != GONE]
    if as_json:
        for job in seen:
            print_json(job.value)
        return ALL_GOOD
    now = SystemClock().now()
    for line in table(_COLUMNS, (_row(job, now) for job in seen)):
        click.echo(line)
    for text in _remarks(seen):
        click.echo(text, err=True)
    return ALL_GOOD


class _Seen(NamedTuple):
    entry: registry.Registered
    value: dict[str, Any]


def _look(entry: registry.Registered) -> _Seen:
    from batchsim.cli.display.job_json import job_object
    from batchsim.cli.jobs.job import Job

    job = Job(entry.path)
    if not job.exists:
        return _Seen(entry, {"job": str(entry.path), "state": GONE, "continued_at": entry.at})
    try:
        return _Seen(entry, {**job_object(job.view()), "continued_at": entry.at})
    except JournalError as error:
        value = {"job": str(entry.path), "state": UNREADABLE, "continued_at": entry.at}
        return _Seen(entry, {**value, "reason": error.message})


def _row(job: _Seen, now: float) -> tuple[str, ...]:
    value = job.value
    numbers = [value.get(name) for name in ("lines", "done", "failed", "shards")]
    return (
        value["state"],
        *("" if number is None else f"{number:,}" for number in numbers),
        distance(int(job.entry.at), now),
        value.get("service", ""),
        near(Path(value["job"])),
    )


def _remarks(seen: list[_Seen]) -> Iterator[str]:
    for job in seen:
        if job.value["state"] == UNREADABLE:
            yield f"note: {job.value['reason']}"
    if any(job.value["state"] == GONE for job in seen):
        yield "note: `batchsim jobs --forget` takes those that are gone out of the list"
