"""A row of the table: a figure made of what programs cost, and what it should be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.measure import Cost

_HOME = str(Path(__file__).parent)


class Program(NamedTuple):
    """A Python command over an input of some shape; in `arguments`, `{}` stands for its path."""

    shape: str
    arguments: tuple[str, ...]
    endings: tuple[int, ...] = (0,)
    """The exit codes with which it may end."""
    is_floor: bool = False
    """It runs nothing of batchsim, so it costs the same whatever the version."""

    def command(self, path: str, python: str = sys.executable) -> list[str]:
        """Return the command to run when the input is at `path`."""
        return [python, *(each.replace("{}", path) for each in self.arguments)]


Costs = Mapping[Program, Cost]
"""The cost of each program in one round."""


class Row(NamedTuple):
    """One figure. `take` makes it of what `programs` cost in one round, given in that order."""

    key: str
    """The name by which it is chosen, with others that belong together."""
    what: str
    programs: tuple[Program, ...]
    """The first is what is measured; its shape is that of the row."""
    take: Callable[..., float]
    unit: str
    """`x` for a multiple of the floor, or `us`, `ms`, `s`, `MB` (1,000,000 bytes), `/s`."""
    target: float | None = None
    """None where nothing is asked: the figure only explains another."""
    floor: str = ""
    """What the figure is a multiple of, or what was taken off it."""
    needs: str = ""
    """A package without which the row is left out."""
    per_line: bool = False
    """The figure is that of one line of the input."""

    @property
    def shape(self) -> str:
        """The name of the input's shape; "" without an input."""
        return self.programs[0].shape

    def figure(self, costs: Costs) -> float:
        """The figure of one round."""
        return self.take(*(costs[program] for program in self.programs))

    def is_met(self, figure: float) -> bool | None:
        """Compare a figure with the target: a rate must be at least that, all else at most."""
        if self.target is None:
            return None
        return figure >= self.target if self.unit == "/s" else figure <= self.target


def ours(shape: str, name: str, *more: str) -> Program:
    """One of `programs` or `traffic`."""
    return Program(shape, (_HOME, "program", name, "{}", *more))


def floor_program(shape: str, name: str, *more: str) -> Program:
    """One of them that does not depend on batchsim."""
    return ours(shape, name, *more)._replace(is_floor=True)


def command(shape: str, *arguments: str) -> Program:
    """A batchsim command."""
    return Program(shape, ("-m", "batchsim", *arguments))


BARE = Program("", ("-c", "pass"), is_floor=True)
"""The interpreter, doing nothing."""


def wall(cost: Cost, floor: Cost) -> float:
    """Wall time as a multiple."""
    return cost.wall / floor.wall


def cpu(cost: Cost, floor: Cost) -> float:
    """CPU time as a multiple; other programs on the machine change it little."""
    return cost.cpu / floor.cpu


def wall_of_lines(cost: Cost, start: Cost, floor: Cost) -> float:
    """Wall time without that of the same command over one line, as a multiple."""
    return (cost.wall - start.wall) / floor.wall


def cpu_of_lines(cost: Cost, start: Cost, floor: Cost) -> float:
    """CPU time without that of the same command over one line, as a multiple."""
    return (cost.cpu - start.cpu) / floor.cpu


def memory(cost: Cost, other: Cost) -> float:
    """MB at the peak, over those of the other program."""
    return cost.peak - other.peak


def seconds_beyond(cost: Cost, other: Cost) -> float:
    """Wall seconds over those of the other program."""
    return cost.wall - other.wall


def cpu_microseconds_beyond(cost: Cost, other: Cost) -> float:
    """CPU microseconds over those of the other program."""
    return 1e6 * (cost.cpu - other.cpu)


def own_microseconds_beyond(cost: Cost, other: Cost) -> float:
    """The same without the system's share, which depends on what files are still in memory."""
    return 1e6 * ((cost.cpu - cost.system) - (other.cpu - other.system))


def cpu_milliseconds_beyond(cost: Cost, other: Cost) -> float:
    """CPU milliseconds over those of the other program."""
    return 1000 * (cost.cpu - other.cpu)


def fact(name: str, of: str = "", times: float = 1.0) -> Callable[..., float]:
    """Take what the program itself measured, as a multiple of the floor's `of` if that is named."""

    def take(cost: Cost, floor: Cost | None = None) -> float:
        value = times * {"wall": cost.wall, "cpu": cost.cpu, **cost.facts}[name]
        if not of:
            return value
        return value / {"wall": (floor or cost).wall, **(floor or cost).facts}[of]

    return take
