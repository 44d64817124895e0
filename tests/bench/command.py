"""`python tests/bench`: the speed of batchsim on this machine, beside what cannot be faster."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import click

from bench.bench import HERE, Bench, chosen, other_version
from bench.measure import Failed
from bench.record import append_to, comparison, entry, last_in, markdown, ratios
from bench.suite import KEYS, ROWS

GIB = 1 << 30
ROOM = {"quick": GIB // 4, "usual": 2 * GIB, "large": 8 * GIB, "huge": 48 * GIB}
"""Bytes of disk that a run may need: a line of 400 B takes 3.9 kB until its results are there."""


@click.command()
@click.option("--quick", is_flag=True, help="At most 10,000 lines of everything: about a minute.")
@click.option("--large", is_flag=True, help="Also 1,000,000 lines: half an hour, 8 GB of disk.")
@click.option("--huge", is_flag=True, help="Also 10,000,000 lines: hours, 50 GB of disk.")
@click.option(
    "--only",
    "keys",
    multiple=True,
    type=click.Choice(KEYS),
    metavar="ROWS",
    help=f"Measure only these rows; may be repeated: {', '.join(KEYS)}.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 99), help="How often to measure [default: 5; quick: 3]."
)
@click.option(
    "--history",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append this run to the file, and show the last one in it for comparison.",
)
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where inputs and results are written meanwhile [default: the system's temporary folder].",
)
@click.option(
    "--against",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Measure another checkout of batchsim side by side, and print the ratios.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def bench(
    *,
    quick: bool,
    large: bool,
    huge: bool,
    keys: tuple[str, ...],
    rounds: int | None,
    history: Path | None,
    folder: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Measure batchsim on this machine, each figure beside its floor.

    A floor is what cannot be faster: a bare orjson pass over the same input, a copy of it, the
    official client on fixed answers, a server of fixed answers. All run in turn, several times.
    The table shows the median, the range, and the project's own target. Needs Unix.
    """
    if not hasattr(os, "wait4"):
        raise click.UsageError("this system does not tell the cost of a process: this needs Unix")
    if quick and (large or huge):
        raise click.UsageError("--quick leaves out what --large and --huge ask for")
    if against and history:
        raise click.UsageError("--history keeps the runs of one version, without --against")
    rows, notes = chosen(ROWS, keys, large=large or huge, huge=huge)
    if not rows:
        raise click.UsageError(f"nothing to measure: {'; '.join(notes) or 'this needs --large'}")
    for note in notes:
        click.echo(f"note: {note}", err=True)
    rounds = rounds or (3 if quick else 5)
    try:  # before anything is measured: it may be no history at all
        nothing = entry([], rounds=rounds, quick=quick)
        before = None if history is None else last_in(history, nothing)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    size = "quick" if quick else "huge" if huge else "large" if large else "usual"
    versions = [HERE] if against is None else [HERE, other_version(against)]
    with tempfile.TemporaryDirectory(prefix="batchsim-bench-", dir=folder) as name:
        _check_room(Path(name), ROOM[size] * len(versions))
        measuring = Bench(rows, Path(name), quick=quick, tell=_tell, versions=versions)
        try:
            here, *others = measuring.run(rounds)
        except Failed as error:
            raise click.ClickException(str(error)) from None
    now = entry(here, rounds=rounds, quick=quick)
    value, table = now, markdown(now, before)
    for there in others:
        value, table = {**now, "rows": [*ratios(there, here)]}, comparison(there, here)
    click.echo(json.dumps(value, ensure_ascii=False) if as_json else "\n".join(table))
    if history is not None:
        append_to(history, now)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    room = f"{folder.parent} has {free / GIB:,.1f} GiB of room, and up to {needed / GIB:,.1f} GiB"
    if free < needed:
        hint = "name another folder with --folder, or measure less: --quick, --only ROWS"
        raise click.UsageError(f"{room} may be needed; {hint}")
    _tell(f"{room} are taken meanwhile; everything is removed at the end")


def _tell(text: str) -> None:
    click.echo(text, err=True)
