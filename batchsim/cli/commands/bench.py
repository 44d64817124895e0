"""`batchsim bench`: how fast batchsim is on this machine, beside what cannot be faster."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import click

from batchsim.bench.bench import Bench, chosen
from batchsim.bench.measure import check_system
from batchsim.bench.record import append_to, entry, last_in, markdown
from batchsim.bench.suite import KEYS, ROWS
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.clock import SystemClock
from batchsim.errors import UsageError

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
    as_json: bool,
) -> int:
    """Measure batchsim on this machine, each figure beside its floor.

    A floor is what cannot be faster: a bare orjson pass over the same input, a copy of it, the
    official client on fixed answers, a server of fixed answers. All are run in turn, several times;
    the table shows the median, the range, and the project's own target. Needs Unix.
    """
    check_system()
    if quick and (large or huge):
        raise UsageError("--quick leaves out what --large and --huge ask for")
    rows, notes = chosen(ROWS, keys, large=large or huge, huge=huge)
    if not rows:
        raise UsageError(
            "there is nothing to measure", hint="; ".join(notes) or "these rows need --large"
        )
    for note in notes:
        click.echo(f"note: {note}", err=True)
    rounds = rounds or (3 if quick else 5)
    clock = SystemClock()
    nothing = entry([], clock, rounds=rounds, quick=quick)
    before = None if history is None else last_in(history, nothing)  # it may be no history at all
    size = "quick" if quick else "huge" if huge else "large" if large else "usual"
    with tempfile.TemporaryDirectory(prefix="batchsim-bench-", dir=folder) as name:
        _check_room(Path(name), ROOM[size])
        results = Bench(rows, Path(name), quick=quick, tell=_tell).run(rounds)
    now = entry(results, clock, rounds=rounds, quick=quick)
    click.echo(json.dumps(now, ensure_ascii=False) if as_json else "\n".join(markdown(now, before)))
    if history is not None:
        append_to(history, now)
    return ALL_GOOD


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    room = f"{folder.parent} has {free / GIB:,.1f} GiB of room, and up to {needed / GIB:,.1f} GiB"
    if free < needed:
        raise UsageError(
            f"{room} may be needed",
            hint="name another folder with --folder, or measure less: --quick, --only ROWS",
        )
    _tell(f"{room} are taken meanwhile; everything is removed at the end")


def _tell(text: str) -> None:
    click.echo(text, err=True)
