"""A request and a response as the API sees them. Bodies stream both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from batchsim.errors import TransferBroken

Headers = tuple[tuple[str, str], ...]  # in their order; names are compared without regard to case


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a client.

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
    """The first `at` bytes of a body, or half of it, and then a broken connection."""

    def __init__(self, body: Iterable[bytes], at: int | None) -> None:
        self._whole = b"".join(body)
        self._at = len(self._whole) // 2 if at is None else at

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[bytes]:
        yield self._whole[: self._at]
        if self._at < len(self._whole):
            raise TransferBroken(f"the answer ended after {self._at} bytes")


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the service.

    `body` is read once. Reading may raise TransferBroken; the connection must then break, so that
    the client notices. A reader that stops before the end calls `close`.
    """

    status: int
    headers: Headers
    body: Iterable[bytes]

    def header(self, name: str) -> str | None:
        """The first value of a header, None when it is absent."""
        return _first(self.headers, name)

    def close(self) -> None:
        """Release what the body holds. Harmless after the end and when repeated."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def _first(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)
