"""The contract of a Backend over two of them, side by side.

Theory of operation. Every check runs on the simulator first: that is its rehearsal, which tells
whether it passes there, what it uploads and creates, and how long it waits. From this follows
what the other side would cost, and which checks need a clock that can jump: those are left out
there. The rest then runs on the other side, one check after another, within a cap.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from metered import Cap, CapReached, MeteredBackend, Spent

from batchsim.backends import Backend
from batchsim.testing import contract as contract_package

LONGEST_NAP = 60.0
"""Seconds. A check that sleeps longer at a time counts on a clock that can jump."""

NO_CAP = Cap(batches=10_000, lines=1_000_000, seconds=float("inf"))
CONTRACT_FOLDER = Path(contract_package.__file__).parent
WIDTH = 76


class Check(NamedTuple):
    """One promise: what it is called, and a function that raises when a backend breaks it."""

    name: str
    call: Callable[[Backend], None]


class Outcome(NamedTuple):
    """What became of a check: `passed`, `failed`, `skipped` or `stopped`, and why."""

    verdict: str
    reason: str = ""


class Rehearsal(NamedTuple):
    """A check, what became of it on the simulator, and what it spent there."""

    check: Check
    outcome: Outcome
    spent: Spent

    @property
    def needs_jumps(self) -> bool:
        """Whether the check sleeps for longer than anyone would wait."""
        return self.spent.longest_nap > LONGEST_NAP


def checks_of(contract: Any) -> Iterator[Check]:
    """The tests of an instance of BackendContract, one for each set of arguments."""
    for name, method in inspect.getmembers(contract, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        words = name.removeprefix("test_").replace("_", " ")
        for label, arguments in _arguments(method):
            yield Check(
                f"{words} [{label}]" if label else words,
                lambda backend, method=method, arguments=arguments: method(backend, **arguments),
            )


def _arguments(method: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every set of arguments with its label; marks above one another multiply."""
    marks = [mark for mark in getattr(method, "pytestmark", ()) if mark.name == "parametrize"]
    for chosen in itertools.product(*map(_rows, marks)):
        labels = [label for label, _ in chosen]
        yield "-".join(labels), {name: row[name] for _, row in chosen for name in row}


def _rows(mark: Any) -> list[tuple[str, dict[str, Any]]]:
    names, rows = mark.args
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    ids = mark.kwargs.get("ids") or _label
    labels = [ids(row) for row in rows] if callable(ids) else list(ids)
    return [
        (label, dict(zip(names, row if len(names) > 1 else [row], strict=True)))
        for label, row in zip(labels, rows, strict=True)
    ]


def _label(value: Any) -> str:
    """The value as text that any terminal can show, the same in every run."""
    text = type(value).__name__ if type(value) is object else str(value)
    return text.encode("utf-8", "backslashreplace").decode()


def rehearse(contract: Any, make: Callable[[], Backend]) -> list[Rehearsal]:
    """Every check on a simulator of its own."""
    rehearsals = []
    for check in checks_of(contract):
        backend = MeteredBackend(make(), NO_CAP)
        rehearsals.append(Rehearsal(check, perform(check, backend), backend.spent))
    return rehearsals


def perform(check: Check, backend: MeteredBackend) -> Outcome:
    """One check."""
    backend.begin_check()
    try:
        check.call(backend)
    except pytest.skip.Exception as skipped:
        return Outcome("skipped", str(skipped))
    except CapReached as stopped:
        return Outcome("stopped", str(stopped))
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, it is no pass
        return Outcome("failed", _explain(error))
    return Outcome("passed")


def compare(
    rehearsals: list[Rehearsal], other: MeteredBackend, tell: Callable[[str], None]
) -> list[str]:
    """Perform what was rehearsed on `other`, telling both outcomes; the names of what differs."""
    different = []
    tell(f"{'check':<{WIDTH}}  {'simulator':<9}  other")
    for rehearsal in rehearsals:
        check, here, _ = rehearsal
        name = check.name if len(check.name) <= WIDTH else check.name[: WIDTH - 3] + "..."
        if rehearsal.needs_jumps:
            tell(
                f"{name:<{WIDTH}}  {here.verdict:<9}  left out: it sleeps for longer than a minute"
            )
            continue
        there = perform(check, other)
        differs = "" if there.verdict == here.verdict else "  <- differs"
        tell(f"{name:<{WIDTH}}  {here.verdict:<9}  {there.verdict}{differs}")
        if differs:
            different.append(check.name)
            for side, outcome in (("simulator", here), ("other", there)):
                for line in outcome.reason.splitlines():
                    tell(f"    {side}: {line}")
    return different


def _explain(error: BaseException) -> str:
    """The line of the contract that failed, and what its names stood for."""
    message = str(error).partition("\n")[0]
    reason = [f"{type(error).__name__}: {message}".strip(": ")]
    frames = [
        frame
        for frame in inspect.getinnerframes(error.__traceback__)
        if Path(frame.filename).is_relative_to(CONTRACT_FOLDER)
    ]
    if frames:
        last = frames[-1]
        line = (last.code_context or [""])[0].strip()
        reason.append(f"{Path(last.filename).name}:{last.lineno}: {line}")
        known = last.frame.f_locals
        reason += [
            f"{name} = {known[name]!r:.300}"
            for name in dict.fromkeys(re.findall(r"[a-z_]\w*", line))
            if name in known and name not in ("self", "backend")
        ]
    return "\n".join(reason)
