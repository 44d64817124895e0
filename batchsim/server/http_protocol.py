"""HTTP/1.x as uvicorn and httptools speak it, with limits on what a connection may hold.

uvicorn bounds bodies, but not heads: a client could send headers without end, or none at all, and
would be waited for. Here a head that grows beyond the limit is refused before it is complete, as
is what stands between the chunks of a body, and a connection that says nothing for too long is
closed, whatever it is in the middle of. Trailers, which uvicorn would add to the headers that have
been checked, are refused. And when the time for draining is over, uvicorn leaves connections to the
loop's end, which can wait for them for ever: here they are cut.

A client that waits for a batch sends the same bytes again and again. Where some came between two
requests, were one whole request and could be answered on the spot, the connection knows them again,
and neither parses them nor looks at their headers: that was two thirds of the cost of a poll. The
bytes, which hold a key, are kept no longer than the connection.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import socket
import struct
import sys
import threading
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from batchsim.errors import BatchsimError, Refused, Unavailable
from batchsim.server.connection_limits import ServerLimits
from batchsim.server.request_guard import METHODS, unknown_method
from batchsim.server.request_handler import BREAK, WRITE, Door, Look, Whole
from batchsim.wire.http import problem

MOST_LOOKS = 8
"""How many requests a connection knows again at a time."""

LONGEST_LOOK = 4_096
"""Bytes of a request that is known again; those of the official clients have less than 1,000."""

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64} ")


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *, door: Door, limits: ServerLimits, **options: Any) -> None:
        super().__init__(**options)
        self._door = door
        self._limits = limits
        self._in_head = False
        self._begun = 0
        self._head_bytes = 0
        self._bytes_without_content = 0
        self._latest = b""
        self._is_between = True
        self._look: Look | None = None
        self._looks: dict[bytes, Look] = {}
        self._refusal: Refused | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; it is sent away when there are too many already."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(Unavailable("The server has too many connections."))
        else:
            self._expect_progress_within(self._limits.idle_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        look = self._looks.get(data) if len(data) <= LONGEST_LOOK else None
        if look is not None and self._answer_again(look):
            return
        was_in_head, was_between = self._in_head, self._is_between
        self._begun = 0
        self._look = None
        self._latest = data
        self._bytes_without_content += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if was_between and self._begun == 1:
            self._remember(data)
        if was_in_head and self._in_head and not self._begun:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes + self._limits.url_bytes:
                self._refuse(Refused("The headers of the request are too large.", status=431))
                return
        elif self._bytes_without_content > self._limits.head_bytes and not self._in_head:
            self._refuse(Refused("The chunks of the request have no content."))
            return
        if self._timer is not None:
            return
        if self._in_head:  # most heads come whole, and cost no timer
            self._expect_progress_within(self._limits.head_seconds)
        elif not self._is_busy() and self.timeout_keep_alive_task is None:
            # Blank lines between requests, or a body that nobody wants any more.
            self._expect_progress_within(self._limits.idle_seconds)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.scope[BREAK] = self._break  # type: ignore[literal-required]
        self._in_head = True
        self._is_between = False
        self._begun += 1
        self._head_bytes = 0
        self._stop_timer()

    def on_headers_complete(self) -> None:
        """A request whose body is still to come. Raising makes the parser fail, hence a 400."""
        self._in_head = False
        self._stop_timer()
        self._bytes_without_content = 0
        if not self.url.startswith(b"/"):
            if self.parser.get_method().decode("ascii") not in METHODS:
                self._refusal = unknown_method()
            raise ValueError("the target must be a path: this is no proxy")
        if self.parser.get_http_version() not in {"1.0", "1.1"}:
            raise ValueError("only HTTP/1.x is spoken here")
        super().on_headers_complete()
        self.scope[WRITE] = functools.partial(self._write, self.cycle)  # type: ignore[literal-required]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Raising makes the parser fail, hence a 400."""
        if not self._in_head:
            raise ValueError("trailers are not taken")
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bytes_without_content = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._is_between = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        is_method = isinstance(sys.exception(), httptools.HttpParserInvalidMethodError)
        if is_method and _METHOD.match(self._latest):
            self._refusal = unknown_method()
        self._refuse(self._refusal or Refused(msg))

    def _break(self, *, reset: bool) -> None:
        """End the connection: after what was written, or at once and with a reset."""
        if not reset:
            self.transport.close()
            return
        own: socket.socket = self.transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(own.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # While others wait in line a task takes turns; to answer here would go ever deeper.
        if not self.pipeline and not cycle.flow.write_paused:
            look = self._door.look(cycle.scope)  # type: ignore[arg-type]
            answer = None if look is None else self._door.at_once(look)
            if answer is not None:
                self._look = look
                self._write_now(cycle, answer)
                return
        super()._start_asgi_task(cycle, app)

    def _remember(self, data: bytes) -> None:
        """Let the one request that came in `data` be known when it comes again, if it was a look."""
        if self._look is not None and len(data) <= LONGEST_LOOK:
            if len(self._looks) == MOST_LOOKS:
                self._looks.clear()
            self._looks[data] = self._look

    def _answer_again(self, look: Look) -> bool:
        """Answer a look that was answered before on this connection, if it can be now.

        The parser is where it would be had it read the request: between two of them.
        """
        if not self._is_between or self._is_busy() or self.flow.write_paused:
            return False
        answer = self._door.at_once(look)
        if answer is None:
            return False
        self._stop_timer()
        self.transport.write(_written(answer))
        self.on_response_complete()
        return True

    async def _write(self, cycle: RequestResponseCycle, answer: Whole) -> None:
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if not cycle.disconnected:
            self._write_now(cycle, answer)

    def _write_now(self, cycle: RequestResponseCycle, answer: Whole) -> None:
        """Answer the request of that cycle as its `send` does, but at one go.

        uvicorn writes head and body apart; a system call and the client's waking are the most that
        a small answer costs.
        """
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        if answer.closes:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            answer.headers.append(b"connection: close\r\n")
        if cycle.scope["method"] == "HEAD":
            answer = answer._replace(body=b"")
        cycle.transport.write(_written(answer))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    def _is_busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_progress_within(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self._in_head:
            self._refuse(Refused("The head of the request did not come.", status=408))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        begun = cycle is not None and cycle.response_started and not cycle.response_complete
        return begun or bool(self.pipeline)

    def _refuse(self, error: BatchsimError) -> None:
        if self._is_answering():
            self.transport.close()  # Whatever is written now would stand in another answer's body.
            return
        response = problem.render(error)
        content = b"".join(response.body)
        lines = [f"{name}: {value}\r\n".encode() for name, value in response.headers]
        lines += [b"content-length: %d\r\n" % len(content), b"connection: close\r\n\r\n"]
        self.transport.write(b"".join([STATUS_LINE[response.status], *lines, content]))
        self.transport.close()


def _written(answer: Whole) -> bytes:
    return b"".join([STATUS_LINE[answer.status], *answer.headers, b"\r\n", answer.body])


class BoundedServer(uvicorn.Server):
    """A server that says when it has begun, and ends when it says so."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_begun = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.has_begun.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests under way end, then cut what is left."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
