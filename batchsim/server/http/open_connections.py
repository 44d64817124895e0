"""The open connections of a server, and how they end together."""

import asyncio
from typing import Protocol

from batchsim.server.http.request_guard import Guard
from batchsim.server.http.request_threads import RequestThreads
from batchsim.server.http.server_limits import ServerLimits


class Connection(Protocol):
    def end_when_idle(self) -> None:
        """Close it now, or after the answers that are under way."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class OpenConnections:
    """All connections of a server, and what they share."""

    def __init__(self, threads: RequestThreads, guard: Guard, limits: ServerLimits) -> None:
        self.threads = threads
        self.guard = guard
        self.limits = limits
        self.open: set[Connection] = set()
        self.streams: set[asyncio.Task[None]] = set()
        self.is_ending = False
        self._are_closed = asyncio.Event()

    def forget(self, connection: Connection) -> None:
        self.open.discard(connection)
        if not self.open:
            self._are_closed.set()

    async def end(self) -> int:
        """Close them all, each after its requests; return how many had to be cut."""
        self.is_ending = True
        for connection in list(self.open):
            connection.end_when_idle()
        try:
            async with asyncio.timeout(self.limits.drain_seconds):
                await self._wait()
            cut = 0
        except TimeoutError:
            cut = len(self.open)
            for connection in list(self.open):
                connection.abort()
            await self._wait()
        await asyncio.gather(*self.streams)
        return cut

    async def _wait(self) -> None:
        self._are_closed.clear()
        if self.open:
            await self._are_closed.wait()
