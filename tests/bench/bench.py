"""Rounds of programs -> the figures of rows.

Theory of operation. A program that several rows need runs once a round, for each version. Programs
take turns: all of them run once, then all of them again, so that whatever else the machine does
falls on programs and floors alike. Versions take turns within a program, and who is first changes
every round; a floor runs once for all versions. A figure is made within one round; the median of
the rounds is shown.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.inputs import SHAPES, Shape, smaller
from bench.measure import Cost, cost_of
from bench.rows import Program, Row

HUGE = "ten-million"
LARGE = ("million", HUGE)
QUICK_LINES = 10_000


class Version(NamedTuple):
    """A checkout of batchsim and the interpreter that runs it."""

    name: str
    root: Path
    python: str = sys.executable

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which its programs import it."""
        return {"PYTHONPATH": str(self.root)}


HERE = Version("here", Path(__file__).parents[2])


def other_version(root: Path) -> Version:
    """Return the version of another checkout, with its own interpreter if it has one."""
    root = root.absolute()
    python = root / ".venv" / "bin" / "python"
    return Version("there", root, str(python) if python.exists() else sys.executable)


class Result(NamedTuple):
    """A row with its figures, one of each round."""

    row: Row
    input: str
    figures: tuple[float, ...]

    @property
    def figure(self) -> float:
        """The median."""
        return median(self.figures)

    @property
    def is_met(self) -> bool | None:
        """The median is as good as the target; None without a target."""
        return self.row.is_met(self.figure)


class Bench:
    """Measures rows in `folder`, which may grow by some gigabytes and is left to the caller.

    `quick` takes at most 10,000 lines of everything. `tell` is called with a word on what is
    being done. `versions` are measured side by side.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        folder: Path,
        *,
        quick: bool,
        tell: Callable[[str], object],
        versions: Sequence[Version] = (HERE,),
    ) -> None:
        self._rows = rows
        self._folder = folder
        self._tell = tell
        self._versions = versions
        self._shapes = {
            name: smaller(shape, QUICK_LINES) if quick else shape for name, shape in SHAPES.items()
        }
        self._programs = list(dict.fromkeys(each for row in rows for each in row.programs))

    def run(self, rounds: int) -> list[list[Result]]:
        """Return the results of each version, in the order of the rows."""
        for name in {program.shape for program in self._programs}:
            self._prepare(name)
        for version in self._versions:
            (self._folder / version.name).mkdir(exist_ok=True)
            for program in self._programs:
                if program.shape in ("", "one", "pytest"):
                    self._cost(program, version)  # so that no round pays for compiling modules
        measured = [self._round(number, rounds) for number in range(1, rounds + 1)]
        return [
            [
                Result(
                    row,
                    self._input(row.shape),
                    tuple(self._figure(row, each[version]) for each in measured),
                )
                for row in self._rows
            ]
            for version in self._versions
        ]

    def _figure(self, row: Row, costs: Mapping[Program, Cost]) -> float:
        return row.figure(costs) / (self._shapes[row.shape].lines if row.per_line else 1)

    def _round(self, number: int, rounds: int) -> dict[Version, dict[Program, Cost]]:
        costs: dict[Version, dict[Program, Cost]] = {version: {} for version in self._versions}
        in_turn = self._versions if number % 2 else self._versions[::-1]
        for place, program in enumerate(self._programs, start=1):
            self._tell(
                f"round {number} of {rounds}, {place} of {len(self._programs)}: "
                f"{' '.join(program.arguments)}"
            )
            if program.is_floor:
                cost = self._cost(program, self._versions[0])
                for version in self._versions:
                    costs[version][program] = cost
            else:
                for version in in_turn:
                    costs[version][program] = self._cost(program, version)
        return costs

    def _cost(self, program: Program, version: Version) -> Cost:
        command = program.command(str(self._path(program.shape)), version.python)
        folder = self._folder / version.name
        environment = {
            **version.environment,
            # Compiled modules are kept, and apart: a start must not depend on who ran it before.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        }
        cost = cost_of(command, folder, program.endings, environment)
        (folder / "results.jsonl").unlink(missing_ok=True)
        shutil.rmtree(folder / "results.jsonl.job", ignore_errors=True)
        return cost

    def _prepare(self, name: str) -> None:
        path = self._path(name)
        if name == "pytest":
            path.write_text("def test_nothing():\n    pass\n")
        elif name:
            self._tell(f"writing {self._shapes[name].name}")
            self._shapes[name].write(path)

    def _path(self, name: str) -> Path:
        return self._folder / ("test_nothing.py" if name == "pytest" else f"{name or 'no'}.jsonl")

    def _input(self, name: str) -> str:
        shape: Shape | None = self._shapes.get(name)
        return shape.name if shape else ""


def chosen(
    rows: Sequence[Row], keys: Collection[str], *, large: bool, huge: bool
) -> tuple[list[Row], list[str]]:
    """Return the rows of these keys (all, when none is named), and why others are left out."""
    asked = [row for row in rows if not keys or row.key in keys]
    without = sorted({row.needs for row in asked if row.needs and not _is_there(row.needs)})
    kept = [
        row
        for row in asked
        if row.needs not in without
        and (huge or row.shape != HUGE)
        and (large or row.shape not in LARGE)
    ]
    return kept, [f"{name} is not installed: rows that need it are left out" for name in without]


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
