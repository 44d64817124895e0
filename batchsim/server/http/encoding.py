"""A Response -> the bytes of HTTP/1.x that say it."""

import functools
import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from batchsim.clock import SystemClock
from batchsim.wire import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_CLOCK = SystemClock()
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


class Encoded(NamedTuple):
    """An answer that is ready to be written; `response` is to be closed in the end."""

    response: Response
    lines: list[bytes]  # the status line and the headers, each with its end
    length: int | None  # bytes of the body; None where only its end will tell
    body: bytes | Iterable[bytes]

    def head(self, *, closes: bool, chunked: bool) -> bytes:
        if chunked:
            self.lines.append(b"transfer-encoding: chunked\r\n")
        if closes:
            self.lines.append(b"connection: close\r\n")
        return b"".join([*self.lines, b"\r\n"])


def encode(response: Response) -> Encoded:
    """Encode a response; raises ValueError for a header that would end itself."""
    body = b"".join(response.body) if isinstance(response.body, tuple) else response.body
    lines = [_status_line(response.status)]
    length, has_date = None, False
    for name, value in response.headers:
        lines.append(_line(name, value))
        match name.lower():
            case "content-length":
                length = int(value)
            case "date":
                has_date = True
    if not has_date:
        lines.append(_date(int(_CLOCK.now())))
    if length is None and isinstance(body, bytes):
        length = len(body)
        lines.append(b"content-length: %d\r\n" % length)
    return Encoded(response, lines, length, body)


@functools.cache
def _status_line(status: int) -> bytes:
    known = status in HTTPStatus.__members__.values()
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else ''}\r\n".encode()


@functools.lru_cache(128)
def _line(name: str, value: str) -> bytes:
    """Return a header as it goes out: nearly all are the same in every answer.

    The API lets pages of any origin read its file routes; a server on a desk must not.
    """
    name = name.lower()
    if name.startswith("access-control-"):
        return b""
    if _CONTROL.search(value):
        raise ValueError(f"the value of the header {name} would end it")
    return f"{name}: {value}\r\n".encode("latin-1")


@functools.lru_cache(1)
def _date(second: int) -> bytes:
    return _line("date", formatdate(second, usegmt=True))
