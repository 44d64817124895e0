"""Range headers (RFC 9110, section 14), and the part of a content that they ask for.

Only one range of bytes is followed. Several ranges, other units and invalid ranges are ignored, and
so is a range with a condition (If-Range), since contents have no versions here.
"""

import re
from collections.abc import Iterable, Iterator

from batchsim.errors import Refused
from batchsim.wire.http.message import Request

_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)

_MOST_DIGITS = 18
_BEYOND: int = 10**_MOST_DIGITS
"""More bytes than any content has: longer numbers would only cost time to read."""


class OutOfRange(Refused):
    """The content has no byte in the range (416)."""

    def __init__(self, size: int) -> None:
        super().__init__("The requested range is not in the file.", status=416, param="range")
        self.size = size


def wanted(request: Request, size: int) -> range | None:
    """Return the range that a request wants of a content of `size` bytes; None for all of it.

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
    """The bytes of one part of a body. What follows the part is not read."""

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
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
