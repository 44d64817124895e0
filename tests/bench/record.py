"""Results -> a table in Markdown, and an entry in a history that later runs are compared with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from batchsim import __version__
from bench.bench import Result
from bench.explained import PARTS_KEY, SLOPE_KEY, Entry, explanations


def entry(results: Sequence[Result], *, rounds: int, quick: bool) -> Entry:
    """Return what a history keeps of a run."""
    import orjson

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "batchsim": __version__,
        "python": platform.python_version(),
        "orjson": orjson.__version__,
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "rounds": rounds,
        "quick": quick,
        "rows": [_row(result) for result in results],
    }


def _row(result: Result) -> dict[str, Any]:
    row = result.row
    return {
        "key": row.key,
        "what": row.what,
        "input": result.input,
        "unit": row.unit,
        "figure": result.figure,
        "least": min(result.figures),
        "most": max(result.figures),
        "target": row.target,
        "met": result.is_met,
        "floor": row.floor,
    }


def markdown(now: Entry, before: Entry | None) -> Iterator[str]:
    """Yield the lines of the table; the figures of `before`, an earlier run, stand beside them."""
    past = {(row["what"], row["input"]): row["figure"] for row in before["rows"]} if before else {}
    earlier = f" {before['at'][:10]} |" if before else ""
    yield f"| what | input | figure | range | of | target | met |{earlier}"
    yield "| --- | --- | --- | --- | --- | --- | --- |" + (" --- |" if before else "")
    for row in now["rows"]:
        if row["key"] in (PARTS_KEY, SLOPE_KEY):
            continue
        target = "" if row["target"] is None else shown(row["target"], row["unit"])
        spread = f"{number(row['least'])} to {number(row['most'])}"
        met = {True: "yes", False: "no", None: ""}[row["met"]]
        cells = [row["what"], row["input"], shown(row["figure"], row["unit"]), spread]
        cells += [row["floor"], target, met]
        if before:
            figure = past.get((row["what"], row["input"]))
            cells.append("" if figure is None else shown(figure, row["unit"]))
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield from explanations(now)
    facts = ", ".join(str(now[name]) for name in ("at", "system"))
    yield f"batchsim {now['batchsim']}, Python {now['python']}, orjson {now['orjson']}; {facts}"
    yield f"median of {now['rounds']}{', quick' if now['quick'] else ''}"


def comparison(there: Sequence[Result], here: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of a table of two versions; a ratio is made within one round."""
    yield "| what | input | there | here | ratio | range |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in ratios(there, here):
        unit = row["unit"]
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
        spread = "" if row["ratio"] is None else f"{row['least']:.3f} to {row['most']:.3f}"
        cells = [row["what"], row["input"], shown(row["there"], unit), shown(row["here"], unit)]
        yield f"| {' | '.join([*cells, ratio, spread])} |"


def ratios(there: Sequence[Result], here: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """Yield a row for each figure, with the median and the range of here / there."""
    for former, latter in zip(there, here, strict=True):
        pairs = zip(latter.figures, former.figures, strict=True)
        found = [now / before for now, before in pairs if before > 0]
        yield {
            "key": latter.row.key,
            "what": latter.row.what,
            "input": latter.input,
            "unit": latter.row.unit,
            "there": former.figure,
            "here": latter.figure,
            "ratio": median(found) if found else None,
            "least": min(found, default=None),
            "most": max(found, default=None),
        }


def shown(figure: float, unit: str) -> str:
    """A figure with its unit."""
    return f"{number(figure)}{'' if unit in ('x', '/s') else ' '}{unit}"


def number(figure: float) -> str:
    """A figure in three digits, or all of them before the point."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:#.3g}"


def last_in(history: Path, like: Entry) -> Entry | None:
    """Return the latest run in a history that can be compared with `like`, if there is one.

    Raises ValueError when the file holds anything but runs.
    """
    if not history.exists():
        return None
    found: Entry | None = None
    for place, line in enumerate(history.read_text("utf-8").splitlines(), start=1):
        try:
            value: Entry = json.loads(line)
            if (value["quick"], value["system"]) == (like["quick"], like["system"]):
                found = value
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{history}:{place}: this line is no run of the benchmark; "
                "name another file, or remove the line"
            ) from None
    return found


def append_to(history: Path, now: Entry) -> None:
    """Add a run to a history."""
    with history.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(now, ensure_ascii=False) + "\n")
