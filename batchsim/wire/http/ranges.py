"""Parts of a content: what a Range header asks for (RFC 9110, section 14), and the bytes of it.

One range of bytes is heeded. Several, other units and what is no range are ignored, as is a range
under a condition (If-Range): contents have no version here that could meet it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from batchsim.errors import Refused
from batchsim.wire.http.message import Request

_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)

_MOST_DIGITS = 18
_BEYOND: int = 10**_MOST_DIGITS
"""No content has so many bytes, and numbers without end cost time to read."""


class OutOfRange(Refused):
    """No byte of the range is one of the content's (416)."""

    def __init__(self, size: int) -> None:
        super().__init__("The requested range is not in the file.", status=416, param="range")
        self.size = size


def wanted(request: Request, size: int) -> range | None:
    """The bytes that are asked for of a content of that size; None for all of it.

    Raises OutOfRange.
    """
    asked = [value for name, value in request.headers if name.lower() == "range"]
    found = _RANGE.fullmatch(asked[0].strip()) if len(asked) == 1 else None
    if found is None or not any(found.groups()) or request.header("if-range") is not None:
        return None
    first, last = map(_number, found.groups())
    if first is None:  # so many at the end
        part = range(max(0, size - (last or 0)), size)
    elif last is not None and last < first:
        return None
    else:
        part = range(min(first, size), min(size, size if last is None else last + 1))
    if not part:
        raise OutOfRange(size)
    return part


def _number(digits: str) -> int | None:
    significant = digits.lstrip("0")
    if len(significant) > _MOST_DIGITS:
        return _BEYOND
    return int(significant or "0") if digits else None


class RangeBody:
    """The pieces of a body that hold the bytes of a part; what follows it is not read."""

    def __init__(self, body: Iterable[bytes], part: range) -> None:
        self._body = body
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        place, part = 0, self._part
        for piece in self._body:
            inside = piece[max(0, part.start - place) : part.stop - place]
            place += len(piece)
            if inside:
                yield inside
            if place >= part.stop:
                return

    def close(self) -> None:
        """Let go of the body."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
