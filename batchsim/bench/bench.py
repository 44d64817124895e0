"""Rounds of programs -> the figures of rows.

Theory of operation. A program that several rows need runs once a round. Programs take turns: all of
them run once, then all of them again, so that whatever else the machine does in between falls on
programs and floors alike. A figure is made within one round; the median of the rounds is shown.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from batchsim.bench.inputs import SHAPES, Shape, smaller
from batchsim.bench.measure import Cost, cost_of
from batchsim.bench.rows import Program, Row

HUGE = "ten-million"
LARGE = ("million", HUGE)
QUICK_LINES = 10_000


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
        """Whether the median is as good as it should be; None where nothing is asked."""
        return self.row.is_met(self.figure)


class Bench:
    """Measures rows in `folder`, which may grow by some gigabytes and is left to the caller.

    `quick` takes at most 10,000 lines of everything. `tell` is called with a word on what is
    being done.
    """

    def __init__(
        self, rows: Sequence[Row], folder: Path, *, quick: bool, tell: Callable[[str], object]
    ) -> None:
        self._rows = rows
        self._folder = folder
        self._tell = tell
        self._shapes = {
            name: smaller(shape, QUICK_LINES) if quick else shape for name, shape in SHAPES.items()
        }
        self._programs = list(dict.fromkeys(each for row in rows for each in row.programs))

    def run(self, rounds: int) -> list[Result]:
        """The results, in the order of the rows."""
        for name in {program.shape for program in self._programs}:
            self._prepare(name)
        for program in self._programs:
            if program.shape in ("", "one", "pytest"):
                self._cost(program)  # so that no round pays for compiling modules
        found: list[list[float]] = [[] for _ in self._rows]
        for number in range(1, rounds + 1):
            costs = dict(self._round(f"round {number} of {rounds}"))
            for row, figures in zip(self._rows, found, strict=True):
                lines = self._shapes[row.shape].lines if row.per_line else 1
                figures.append(row.figure(costs) / lines)
        return [
            Result(row, self._input(row.shape), tuple(figures))
            for row, figures in zip(self._rows, found, strict=True)
        ]

    def _round(self, name: str) -> Iterator[tuple[Program, Cost]]:
        for place, program in enumerate(self._programs, start=1):
            self._tell(f"{name}, {place} of {len(self._programs)}: {' '.join(program.arguments)}")
            yield program, self._cost(program)

    def _cost(self, program: Program) -> Cost:
        command = program.command(str(self._path(program.shape)))
        cost = cost_of(command, self._folder, program.endings)
        (self._folder / "results.jsonl").unlink(missing_ok=True)
        shutil.rmtree(self._folder / "results.jsonl.job", ignore_errors=True)
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
    """The rows of these keys (all, when none is named), and why others are left out."""
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
