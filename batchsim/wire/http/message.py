"""A request and a response, as far as the API looks at them. Bodies stream both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from batchsim.errors import TransferBroken

Headers = tuple[tuple[str, str], ...]
"""Names and values in their order. Names are compared without regard to case."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.

    `path` and `query` are as on the request line: escapes intact, the query without its `?`.
    `body` is read at most once, and only as far as needed.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = ()
    body: Iterable[bytes] = ()

    def header(self, name: str) -> str | None:
        """The first value of a header, None when it is absent."""
        return _first(self.headers, name)


class CutBody:
    """A body that ends early: its first `at` bytes, half of it when that is None."""

    def __init__(self, body: Iterable[bytes], at: int | None) -> None:
        self._whole = b"".join(body)
        self._at = len(self._whole) // 2 if at is None else at

    def __len__(self) -> int:
        """How many bytes it should have had."""
        return len(self._whole)

    def __iter__(self) -> Iterator[bytes]:
        yield self._whole[: self._at]
        if self._at < len(self._whole):
            raise TransferBroken(f"the answer ended after {self._at} bytes")


@dataclass(frozen=True, slots=True)
class Response:
    """What the service answers.

    `body` is read once; reading it may raise TransferBroken, and the connection must then break
    so that the client notices. Who does not read it to its end calls `close`.
    """

    status: int
    headers: Headers
    body: Iterable[bytes]

    def header(self, name: str) -> str | None:
        """The first value of a header, None when it is absent."""
        return _first(self.headers, name)

    def close(self) -> None:
        """Let go of what the body holds. Harmless after the end and when repeated."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def _first(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)
