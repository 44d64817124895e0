"""The cost of a process and its children: wall and CPU seconds, and memory at its peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import launcher

_MEGABYTE = 1e6
_UNIT = 1 if sys.platform == "darwin" else 1024
_OUTPUT, _ERRORS = "printed.txt", "said.txt"


class Cost(NamedTuple):
    """Seconds, and the largest resident size in MB (of 1,000,000 bytes) of one process.

    `facts` are what the program itself measured and printed.
    """

    wall: float
    cpu: float
    peak: float
    facts: dict[str, float]
    system: float = 0.0
    """The CPU seconds that the system took, mostly to move bytes from and to files."""


class Failed(Exception):
    """A measured program ended with an error."""


def cost_of(
    command: Sequence[str],
    folder: Path,
    endings: Collection[int] = (0,),
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run `command` in `folder` to its end; `environment` is added to that of this process.

    Raises Failed, with the program's errors, when its exit code is none of `endings`.

    When the last line that it prints is its facts as JSON, `wall`, `cpu` and `peak` among them
    replace those of the whole process: a program may want only a part of itself measured.
    """
    starter = [sys.executable, "-I", "-S", launcher.__file__, _OUTPUT, _ERRORS]
    told = subprocess.run(
        [*starter, *command],
        cwd=folder,
        capture_output=True,
        check=True,
        env={**os.environ, **(environment or {})},
    )
    code, wall, cpu, system, peak = told.stdout.split()
    if int(code) not in endings:
        said = (folder / _ERRORS).read_text(errors="replace")[-2_000:]
        raise Failed(f"{' '.join(command)} exited with {int(code)}\n{said}")
    facts = _facts(folder / _OUTPUT)
    return Cost(
        facts.pop("wall", float(wall)),
        facts.pop("cpu", float(cpu)),
        facts.pop("peak", megabytes(int(peak))),
        facts,
        float(system),
    )


def megabytes(resident: int) -> float:
    """A resident size in MB, from the unit in which this system tells it."""
    return resident * _UNIT / _MEGABYTE


def _facts(output: Path) -> dict[str, float]:
    with output.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 4_096))
        last = stream.read().rstrip(b"\n").rpartition(b"\n")[2]
    if not last.startswith(b'{"facts":'):
        return {}
    facts: dict[str, float] = json.loads(last)["facts"]
    return facts
