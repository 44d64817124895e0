"""What is said when a run was interrupted: what goes on without it, and how to return."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsim.amounts import counted
from batchsim.domain.diagnosis import shown

if TYPE_CHECKING:
    from batchsim.runner.report import Progress

_NAMED = 5
"""So many batches are named; of the others it is said how many there are."""


def tell_interrupted(backend: str, job: Path, progress: Progress | None) -> None:
    """Say on stderr what an interrupted run leaves behind."""
    click.echo("interrupted; everything so far is in the journal", err=True)
    running = [shard for shard in progress.by_shard if shard.is_running] if progress else []
    if backend == "real" and running:
        some = counted(len(running), "batch goes", "batches go")
        click.echo(f"{some} on at the service and will be paid:", err=True)
        for shard in running[:_NAMED]:
            text = f"{shard.batch_id} is {shard.status}, {shard.done:,} of {counted(shard.lines, 'line')}"
            click.echo(f"  {shown(text)}", err=True)
        if len(running) > _NAMED:
            click.echo(f"  and {len(running) - _NAMED:,} more", err=True)
    click.echo("hint: the same command goes on where this one stopped", err=True)
    if progress is not None:
        name = shlex.quote(str(job))
        text = f"`batchsim status {name}` shows the job, `batchsim cancel {name}` ends it"
        click.echo(f"hint: {text} and keeps what is done", err=True)
