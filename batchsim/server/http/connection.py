"""One connection that speaks HTTP/1.x, with limits on what it may hold and for how long.

Theory of operation. httptools parses what comes in. Each request becomes an Exchange, and exchanges
wait in line: the first is worked on, the others keep their place. The connection stops reading
while one waits or while a body is full. A request is started when its body has come, or its first
PIECE; before that no thread is involved, so a body that trickles in keeps none.

A client could send a head without end, or none at all. So a head that grows beyond its limit is
refused before it is complete, as is what stands between the chunks of a body. Exactly one time
limit holds at a time: for the head, for the next part of a body, or for the next request.
Trailers are refused: they would come after the headers were checked.
"""

import asyncio
import functools
import logging
import os
import re
import socket
import struct
from collections import deque
from collections.abc import Iterable
from typing import cast

import httptools

from batchsim.domain.transport_failures import Unanswered
from batchsim.errors import BatchsimError, Refused, TransferBroken, Unavailable
from batchsim.server.http.body_handover import Disconnected, RequestBody
from batchsim.server.http.encoding import CONTINUE, Encoded, encode
from batchsim.server.http.exchange import Exchange
from batchsim.server.http.open_connections import OpenConnections
from batchsim.server.http.request_guard import METHODS, Head, unknown_method
from batchsim.server.http.request_threads import Outcome
from batchsim.wire.http import problem

LAST_WORDS_SECONDS = 5.0  # for a client to finish an unwanted body before it gets its answer

logger = logging.getLogger("batchsim.server")

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64} ")


class HttpConnection(asyncio.Protocol):
    def __init__(self, others: OpenConnections) -> None:
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._limits = others.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._client = ""
        self._exchanges: deque[Exchange] = deque()
        self._coming: Exchange | None = None  # the exchange whose body is being read
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._in_head = False
        self._begun = 0
        self._head_bytes = 0
        self._bytes_without_content = 0
        self._refusal: Refused | None = None
        self._is_paused = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._timer: asyncio.TimerHandle | None = None

    # The socket's events.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a client in, or send it away when there are too many already."""
        self._transport = cast(asyncio.Transport, transport)
        self._client = str(transport.get_extra_info("peername")[0])
        self._others.open.add(self)
        if len(self._others.open) > self._limits.connections:
            self._refuse(Unavailable("The server has too many connections."))
        else:
            self._expect_more_within(self._limits.idle_seconds)

    def connection_lost(self, _: Exception | None) -> None:
        self._stop_timer()
        self._others.forget(self)
        self._may_write.set()
        for exchange in self._exchanges:
            exchange.body.fail(Disconnected())

    def pause_writing(self) -> None:
        """Write no more: the client does not read."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and check what it did not bring to an end."""
        was_in_head = self._in_head
        self._begun = 0
        self._bytes_without_content += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # which is not taken: the request is answered as it is
            self._exchanges[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
                self._refusal = unknown_method()
            self._refuse(self._refusal or Refused("Invalid HTTP request received."))
        if self._transport.is_closing():
            return
        if was_in_head and self._in_head and not self._begun:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes + self._limits.url_bytes:
                self._refuse(Refused("The headers of the request are too large.", status=431))
        elif self._bytes_without_content > self._limits.head_bytes and not self._in_head:
            self._refuse(Refused("The chunks of the request have no content."))
        self._go_on()

    def end_when_idle(self) -> None:
        if not self._exchanges:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # The parser's events. To raise makes the parser fail: the request is refused.

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []
        self._in_head = True
        self._begun += 1
        self._head_bytes = 0
        self._stop_timer()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise ValueError("trailers are not taken")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Check the head, and let its exchange wait in line."""
        self._in_head = False
        self._bytes_without_content = 0
        method, version = self._parser.get_method().decode("ascii"), self._parser.get_http_version()
        target = self._url.decode("ascii")
        if not target.startswith("/"):
            if method not in METHODS:
                self._refusal = unknown_method()
            raise ValueError("the target must be a path: this is no proxy")
        if version not in {"1.0", "1.1"}:
            raise ValueError("only HTTP/1.x is spoken here")
        head = Head(method, target, version, tuple(self._headers), self._client)
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        exchange = Exchange(head, RequestBody(self._resume), keep_alive=keep_alive)
        try:
            self._others.guard.check(head)
        except Refused as error:
            exchange.refusal = error
        self._coming = exchange
        self._exchanges.append(exchange)

    def on_body(self, body: bytes) -> None:
        self._bytes_without_content = 0
        if self._coming is not None:
            self._coming.body.add(body)

    def on_message_complete(self) -> None:
        self._stop_timer()
        if self._coming is not None:
            self._coming.body.complete()
            self._coming = None

    # The exchanges, one after the other.

    def _go_on(self) -> None:
        """Do what the first exchange is ready for, and read on if there is room."""
        if self._transport.is_closing():
            return
        if self._exchanges and self._may_write.is_set():
            self._advance(self._exchanges[0])
        body = None if self._coming is None else self._coming.body
        is_full = len(self._exchanges) > 1 or (body is not None and body.is_full)
        if is_full != self._is_paused:
            self._is_paused = is_full
            (self._transport.pause_reading if is_full else self._transport.resume_reading)()
        self._set_timer()

    def _advance(self, exchange: Exchange) -> None:
        body = exchange.body
        if exchange.is_started:
            if exchange.waiting is not None and body.is_complete:
                self._loop.call_soon(self._write, exchange, exchange.waiting)
                exchange.waiting = None
        elif exchange.refusal is not None:
            exchange.is_started = True  # The answer comes later: others may be refused within it.
            refusal = encode(problem.render(exchange.refusal))
            self._loop.call_soon(self._answer, exchange, refusal)
        elif body.is_complete or body.is_full:
            exchange.is_started = True
            answer = functools.partial(self._answer, exchange)
            self._others.threads.start(exchange.request, answer, is_large=not body.is_complete)
        elif exchange.expects_continue and not exchange.is_told:
            exchange.is_told = True
            self._transport.write(CONTINUE)

    def _resume(self) -> None:
        self._loop.call_soon_threadsafe(self._go_on)

    def _answer(self, exchange: Exchange, outcome: Outcome) -> None:
        """Take the outcome of a request, and write it once the client is done with its body."""
        if self._transport.is_closing():
            if not isinstance(outcome, Unanswered):
                outcome.response.close()
        elif isinstance(outcome, Unanswered):
            self._break(reset=outcome.how in ("refused", "reset"))
        elif exchange.body.is_complete or exchange.expects_continue:
            self._write(exchange, outcome)
        else:
            # A client that reads only after writing would miss its answer.
            exchange.body.discard()
            exchange.waiting = outcome
            self._expect_more_within(min(LAST_WORDS_SECONDS, self._limits.idle_seconds))
            self._go_on()

    def _write(self, exchange: Exchange, answer: Encoded) -> None:
        is_head, is_old = exchange.head.method == "HEAD", exchange.head.http_version == "1.0"
        chunked = answer.length is None and not is_head and not is_old
        keep_alive = exchange.keep_alive and exchange.body.is_complete
        closes = not keep_alive or self._others.is_ending
        exchange.is_answering = True
        head = answer.head(closes=closes, chunked=chunked)
        if is_head or isinstance(answer.body, bytes):
            self._transport.write(head if is_head else head + cast(bytes, answer.body))
            answer.response.close()
            self._end(closes=closes)
        else:
            self._transport.write(head)
            stream = self._stream(answer, closes=closes, chunked=chunked)
            task = self._loop.create_task(stream)
            self._others.streams.add(task)
            task.add_done_callback(self._others.streams.discard)

    async def _stream(self, answer: Encoded, *, closes: bool, chunked: bool) -> None:
        pieces, sent = iter(cast(Iterable[bytes], answer.body)), 0
        try:
            while (piece := await self._others.threads.call(next, pieces, None)) is not None:
                if self._transport.is_closing():
                    return
                sent += len(piece)
                if piece:
                    self._transport.write(
                        b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
                    )
                await self._may_write.wait()
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            self._end(closes=closes or answer.length not in (None, sent))
        except TransferBroken:
            self._transport.close()
        except Exception:
            logger.exception("an answer broke off")
            self._transport.close()
        finally:
            await self._others.threads.call(answer.response.close)

    def _end(self, *, closes: bool) -> None:
        self._exchanges.popleft()
        if closes:
            self._transport.close()
        self._go_on()

    def _break(self, *, reset: bool) -> None:
        """End the connection: after what was written, or at once and with a reset."""
        if not reset:
            self._transport.close()
            return
        own: socket.socket = self._transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(own.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _refuse(self, error: BatchsimError) -> None:
        """Refuse what is no request, and end the connection."""
        if not self._transport.is_closing() and not self._is_answering():
            answer = encode(problem.render(error))
            head = answer.head(closes=True, chunked=False)
            self._transport.write(head + cast(bytes, answer.body))
        self._transport.close()

    def _is_answering(self) -> bool:
        """A refusal would stand in another answer's body, or in its place."""
        return len(self._exchanges) > 1 or any(each.is_answering for each in self._exchanges)

    # The time limit.

    def _set_timer(self) -> None:
        if self._in_head:  # most heads come whole, and cost no timer
            if self._timer is None:
                self._expect_more_within(self._limits.head_seconds)
        elif self._coming is not None:
            if self._is_paused:
                self._stop_timer()
            elif self._coming.waiting is None:
                self._expect_more_within(self._limits.idle_seconds)
        elif not self._exchanges and self._timer is None:
            self._expect_more_within(self._limits.idle_seconds)

    def _expect_more_within(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        exchange = self._coming
        if self._in_head:
            self._refuse(Refused("The head of the request did not come.", status=408))
        elif exchange is None:
            self._transport.close()
        elif exchange.waiting is not None:
            self._write(exchange, exchange.waiting)
        elif exchange.is_started:
            exchange.body.fail(Refused("The request body did not come.", status=408))
        else:
            self._refuse(Refused("The request body did not come.", status=408))
