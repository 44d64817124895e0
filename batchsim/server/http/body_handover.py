"""A request's body on its way from the event loop to the thread that reads it.

Theory of operation. The loop adds what comes in and the thread takes all that is there. Once PIECE
bytes wait, the body is full: the connection stops reading until the thread has taken them. So
memory stays flat however fast a client sends. The thread is woken only by a full body or by its
end, which costs few switches between the two.
"""

import threading
from collections.abc import Callable, Iterator

PIECE = 1 << 18
"""Bytes. More would be no faster, since they would leave the processor's cache on their way
(measured from 128 KiB to 512 KiB)."""


class Disconnected(Exception):
    """The client went away in the middle of its request."""


class RequestBody:
    """The body of one request. One thread iterates over it; all else belongs to the loop.

    `resume` is called, from any thread, when a full body has been taken.
    """

    def __init__(self, resume: Callable[[], object]) -> None:
        self._resume = resume
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self.is_complete = False
        self._is_unwanted = False

    @property
    def is_full(self) -> bool:
        """No more shall be read until the thread has taken what is here."""
        return self._size >= PIECE

    def add(self, data: bytes) -> None:
        if self._is_unwanted:
            return
        with self._changed:
            self._pieces.append(data)
            self._size += len(data)
            if self.is_full:
                self._changed.notify()

    def complete(self) -> None:
        with self._changed:
            self.is_complete = True
            self._changed.notify()

    def discard(self) -> None:
        """Forget what is here and what is still to come: the request has its answer."""
        with self._changed:
            self._is_unwanted = True
            self._pieces, self._size = [], 0

    def fail(self, error: Exception) -> None:
        """Raise `error` in the thread that waits for more, or will."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._take():
            yield piece
            del piece

    def _take(self) -> bytes:
        with self._changed:
            while not (self.is_full or self.is_complete or self._error):
                self._changed.wait()
            if self._error and not self.is_complete:
                raise self._error
            was_full = self.is_full
            pieces, self._pieces, self._size = self._pieces, [], 0
        if was_full:
            self._resume()
        return b"".join(pieces)  # which does not copy a single one
