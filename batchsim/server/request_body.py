"""A request's body on its way from the event loop to the thread that reads it.

Theory of operation. The reader pulls: while it works on a piece, the loop collects the next one, and
no more than that. So the connection stops reading and the sender has to wait: memory stays flat
however fast it sends. The first piece is collected before a thread is involved at all; a body that
ends with it, as nearly all do, costs no further trip, and one that trickles in keeps no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

from batchsim.errors import Refused

Receive = Callable[[], Awaitable[dict[str, Any]]]

PIECE = 1 << 18
"""About how many bytes are collected at once: more would not be quicker, since they would leave the
processor's cache on their way (measured from 128 KiB to 512 KiB)."""

LAST_WORDS_SECONDS = 5.0
"""How long a client may go on sending a body that nobody wants before it gets its answer."""


class Disconnected(Exception):
    """The client went away in the middle of its request."""


class RequestBody:
    """The body of one request: `begin` and `drain` belong to the loop, iterating to one thread."""

    def __init__(self, receive: Receive, idle_seconds: float) -> None:
        self._receive = receive
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._first = b""
        self._pull: Future[bytes] | None = None
        self._abandoned = False
        self.more = True
        """Whether something may still come."""

    async def begin(self, *, is_empty: bool = False) -> None:
        """Collect the first piece. Raises Disconnected, or Refused when the client falls silent.

        A body that is known to be empty is waited for without the cost of a time limit.
        """
        if is_empty:
            await self._receive()
            self.more = False
        else:
            self._first = await self._collect()

    def __iter__(self) -> Iterator[bytes]:
        piece, self._first = self._first, b""
        while piece:
            self._ask_for_more()
            yield piece
            del piece
            piece = self._wait_for_more()

    async def drain(self) -> None:
        """Read on and forget, so that a client which reads only after writing gets its answer."""
        if self._pull is not None:
            self._pull.cancel()
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self.more:
                    await self._collect()
        except (TimeoutError, Disconnected, Refused):
            return

    def abandon(self) -> None:
        """Have a thread that waits for more wait no longer."""
        self._abandoned = True
        if self._pull is not None:
            self._pull.cancel()

    def _ask_for_more(self) -> None:
        if self._abandoned:
            raise Disconnected
        if self.more:
            self._pull = asyncio.run_coroutine_threadsafe(self._collect(), self._loop)

    def _wait_for_more(self) -> bytes:
        if self._pull is None:
            return b""
        try:
            return self._pull.result()
        except CancelledError:
            raise Disconnected from None
        finally:
            self._pull = None

    async def _collect(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self.more and size < PIECE:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    message = await self._receive()
            except TimeoutError:
                raise Refused("The request body did not come.", status=408) from None
            if message["type"] == "http.disconnect":
                self.more = False
                raise Disconnected
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self.more = message.get("more_body", False)
        return b"".join(parts)  # which does not copy a single one
