"""Counts, money, sizes and times as text for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

_DAY = 86_400


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number of things: `1 line`, `3,000 lines`, `0 batches`.

    `several` is for words that do not end as nouns do: `counted(2, "line is", "lines are")`.
    """
    if number == 1:
        return f"1 {one}"
    if several is None:
        several = f"{one}es" if one.endswith(("ch", "sh", "s", "x")) else f"{one}s"
    return f"{number:,} {several}"


def money(amount: Decimal) -> str:
    """US dollars: cents from ten cents on, two significant digits below."""
    if not amount:
        return "$0"
    decimals = 2 if 10 * amount >= 1 else 1 - amount.adjusted()
    return f"${amount:,.{decimals}f}"


def size(count: int) -> str:
    """A number of bytes in decimal units, as the limits of the API are."""
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1_000:.1f} kB"
    return f"{count / 1_000_000:,.1f} MB"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: `90 s`, `5 min`, `23.5 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole / 60:.0f} min" if whole < 7200 else f"{whole / 3600:.1f} h"


def distance(moment: int, now: float) -> str:
    """The distance of a moment from now, both in unix seconds: `5 min ago`, `in 30 days`."""
    seconds = now - moment
    text = _days(abs(seconds)) or duration(abs(seconds))
    return f"in {text}" if seconds < 0 else f"{text} ago"


def instant(moment: int) -> str:
    """Unix seconds as `2026-01-01T00:00:00Z`; as they are when no calendar holds them."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OSError, OverflowError, ValueError):
        return str(moment)


def _days(seconds: float) -> str | None:
    return f"{seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else None
