"""Conversion of what services send in the place of OpenAI's null, integers and strings.

Compatible services write an absent value as null, "", or not at all, and a time as unix seconds,
unix milliseconds or ISO 8601 (all observed). These functions give one meaning to each.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any

MILLISECONDS_FROM = 100_000_000_000  # from here on milliseconds: as seconds it is the year 5138
LARGEST = (1 << 63) - 1  # no number is larger in 64 bits, and no service counts so far
NEVER = 946_656_000_000  # milliseconds: one service writes it for an absent time (observed)
_HALF = re.compile(r"[\ud800-\udfff]")
_SECONDS = re.compile(r"[0-9]{9,13}")  # shorter digits could be an ISO 8601 date


LONGEST_TEXT = 8_192
"""Characters of a message that are kept; a hostile one may be copied into many records."""


def text(value: Any) -> str | None:
    """A non-empty string that UTF-8 can carry, or None."""
    return carried(value) if isinstance(value, str) and value else None


def message(value: Any) -> str:
    """A message for people: as `text`, and not of any length."""
    return (text(value) or "")[:LONGEST_TEXT]


def carried(value: Any) -> Any:
    """JSON with U+FFFD for each half of a surrogate pair, which no UTF-8 file can hold."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [carried(each) for each in value]
    if isinstance(value, dict):
        return {carried(name): carried(each) for name, each in value.items()}
    return value


def integer(value: Any) -> int | None:
    """An integer, or None; a bool is not a number here, nor what needs more than 64 bits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= LARGEST else None


def count(value: Any) -> int:
    """A number of things: never negative, 0 when absent."""
    if type(value) is int and 0 <= value <= LARGEST:  # nearly always, and counted once a line
        return value
    return max(0, integer(value) or 0)


def timestamp(value: Any) -> int | None:
    """Unix seconds from seconds, milliseconds (both also as digits) or ISO 8601.

    None when absent or unreadable.
    """
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = int(value)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    elif isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    number = integer(value)
    if number == NEVER:
        return None
    if number is not None and abs(number) >= MILLISECONDS_FROM:
        return number // 1000
    return number
