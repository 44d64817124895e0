"""An HTTP/1.x server for one handler, on sockets that listen already.

Theory of operation. An event loop moves the bytes of all connections (HttpConnection), threads do
the work (RequestThreads). When the server stops, idle connections are closed, requests under way
may end within `drain_seconds`, and what is left is cut.
"""

import asyncio
import functools
import logging
import socket
import threading
from collections.abc import Callable, Sequence

from batchsim.server.http.connection import HttpConnection
from batchsim.server.http.open_connections import OpenConnections
from batchsim.server.http.request_guard import Guard
from batchsim.server.http.request_threads import Handler, RequestThreads
from batchsim.server.http.server_limits import ServerLimits

logger = logging.getLogger("batchsim.server")


class HttpServer:
    """Serves `handler`. `run` belongs to one thread, `stop` to another."""

    def __init__(self, handler: Handler, guard: Guard, limits: ServerLimits) -> None:
        self._handler = handler
        self._guard = guard
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.has_begun = threading.Event()  # it takes connections, or could not begin

    def run(self, sockets: Sequence[socket.socket]) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._serve(sockets))
        finally:
            self.has_begun.set()

    def stop(self) -> None:
        """Have `run` end. To be called once it has begun."""
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self, sockets: Sequence[socket.socket]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        threads = RequestThreads(self._handler, self._limits.uploads)
        connections = OpenConnections(threads, self._guard, self._limits)
        connect = functools.partial(HttpConnection, connections)
        servers = [await self._loop.create_server(connect, sock=each) for each in sockets]
        self.has_begun.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        cut = await connections.end()
        if cut:
            were = "connection was" if cut == 1 else "connections were"
            logger.error("%d %s cut when the server stopped", cut, were)
        await threads.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
