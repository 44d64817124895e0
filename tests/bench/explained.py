"""Explain the cost of a line: the tables below the one of targets.

All figures are from the same run, except TARGETS_SET_AT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.parts import ACTIVITIES, PARTS

Entry = Mapping[str, Any]
"""One run as JSON: when, where, how, and its rows."""

PARTS_KEY, SLOPE_KEY = "parts", "slope"
"""The keys of rows that are for these tables only."""

FLOOR_ROW = "one orjson pass"
SUM_ROW = "least of "
"""With the name of an activity: the sum of its parts."""

TARGETS_SET_AT = {"400 B": 2.4, "4 KB": 7.0}
"""Microseconds a line of one orjson pass where the targets were set: November 2026, Python 3.11, a
busy machine of two cores. When that pass gets cheaper, multiples of it grow."""

_TITLES = {"validate": "validate", "fake": "the fake", "run": "run --fake"}


def explanations(now: Entry) -> Iterator[str]:
    """The lines below the table of targets, for what of them was measured."""
    parts = [row for row in now["rows"] if row["key"] == PARTS_KEY]
    yield from _parts(parts)
    yield from _missed(
        now, {row["input"]: row["figure"] for row in parts if row["what"] == FLOOR_ROW}
    )
    yield from _slopes([row for row in now["rows"] if row["key"] == SLOPE_KEY])


def _parts(rows: Sequence[Entry]) -> Iterator[str]:
    inputs = list(dict.fromkeys(row["input"] for row in rows))
    if not inputs:
        return
    figures = {(row["what"], row["input"]): row["figure"] for row in rows}
    yield "What a line costs at least, each part alone, as a multiple of one orjson pass:"
    yield ""
    yield f"| part | {' | '.join([*inputs, *_TITLES.values()])} |"
    yield f"| --- |{' --- |' * (len(inputs) + len(_TITLES))}"
    for part in PARTS:
        times = [getattr(part, activity) for activity in ACTIVITIES]
        cells = [f"{figures[part.what, each]:.2f}x" for each in inputs]
        cells += [f"{count} times" if count > 1 else "once" if count else "" for count in times]
        yield f"| {part.what} | {' | '.join(cells)} |"
    for activity, title in _TITLES.items():
        cells = [f"{figures[SUM_ROW + activity, each]:.2f}x" for each in inputs]
        cells += ["sum" if each == activity else "" for each in _TITLES]
        yield f"| **{title}, the sum** | {' | '.join(cells)} |"
    yield ""
    for each in inputs:
        yield _pass(each, figures[FLOOR_ROW, each])


def _pass(name: str, microseconds: float) -> str:
    text = f"- one orjson pass, {name}: {microseconds:.2f} us of CPU a line"
    return f"{text}; where the targets were set, {_there(name)} us" if _there(name) else text


def _missed(now: Entry, passes: Mapping[str, float]) -> Iterator[str]:
    """In microseconds, which say more than multiples where the pass is not what it was."""
    for row in now["rows"]:
        name, there = row["input"], _there(row["input"])
        if row["met"] is False and row["floor"] == FLOOR_ROW and name in passes and there:
            yield (
                f"- {row['what']}, {name}: {row['figure'] * passes[name]:.1f} us a line; "
                "the target of "
                f"{row['target']}x was {row['target'] * there:.1f} us where it was set"
            )


def _there(name: str) -> float:
    return next((us for end, us in TARGETS_SET_AT.items() if name.endswith(end)), 0.0)


def _slopes(rows: Sequence[Entry]) -> Iterator[str]:
    inputs = list(dict.fromkeys(row["input"] for row in rows))
    if len(inputs) < 2:
        return
    yield ""
    yield "CPU of a line by the number of lines; its ratio is 1 where cost is linear:"
    yield ""
    yield f"| | {' | '.join(inputs)} | ratio |"
    yield f"| --- |{' --- |' * (len(inputs) + 1)}"
    for what in dict.fromkeys(row["what"] for row in rows):
        found = {row["input"]: row["figure"] for row in rows if row["what"] == what}
        cells = [f"{found[each]:.2f} us" if each in found else "" for each in inputs]
        first, *_, last = found.values()
        yield f"| {what} | {' | '.join(cells)} | {last / first:.2f} |"
    yield ""
