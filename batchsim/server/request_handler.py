"""A request that came in over a connection -> `wire` -> the answer that goes out.

Theory of operation. This is an ASGI application. The event loop only moves bytes: whatever may
take time (files, simulated work, locks) runs in a thread, one at a time for each request. Small
requests and large uploads have separate numbers of places, so that uploads, however many and slow,
never keep a poll waiting. A look at one batch or file that is sure to keep nobody waiting is
answered on the loop itself: the way to a thread and back costs more than the answer.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from batchsim.clock import SystemClock
from batchsim.domain.transport_failures import Unanswered
from batchsim.errors import Refused, TransferBroken
from batchsim.server.connection_limits import ServerLimits
from batchsim.server.request_body import Disconnected, Receive, RequestBody
from batchsim.server.request_guard import Guard, Head
from batchsim.wire import Request, Response
from batchsim.wire.http import problem, render

Answer = TypeVar("Answer", bound=Response | None)
Send = Callable[[dict[str, Any]], Awaitable[None]]

BREAK = "batchsim.break"
"""What ends the connection of a request, in its scope."""

WRITE = "batchsim.write"
"""What answers a request with one piece, a Whole, in its scope."""

_CLOCK = SystemClock()
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

SMALL_REQUESTS = 32
"""How many requests are worked on at a time, besides the large uploads."""

logger = logging.getLogger("batchsim.server")


class Whole(NamedTuple):
    """An answer that can be written at one go; `closes` says that nothing can follow it."""

    status: int
    headers: list[bytes]
    """Each as the line that it becomes."""
    body: bytes
    closes: bool


class Handler(Protocol):
    """What answers requests: `wire.App`, or something in front of it."""

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when the connection shall end instead."""
        ...


class Look(Protocol):
    """A request that can be answered again and again without being read anew."""

    def answer(self) -> Response | None:
        """The answer if it takes no time to speak of, else None, and nothing has happened."""
        ...


@runtime_checkable
class PromptHandler(Handler, Protocol):
    """One that can tell when it keeps nobody waiting."""

    def look(self, request: Request) -> Look | None:
        """What answers such a request, None if there is none that could; nothing has happened."""
        ...


class Door:
    """The ASGI application. `close` it when its loop has ended."""

    def __init__(self, handler: Handler, guard: Guard, limits: ServerLimits) -> None:
        self._handler = handler
        self._look = handler.look if isinstance(handler, PromptHandler) else _no_look
        self._guard = guard
        self._limits = limits
        self._threads = ThreadPoolExecutor(SMALL_REQUESTS + limits.uploads, "batchsim-request")
        self._small = asyncio.Semaphore(SMALL_REQUESTS)
        self._large = asyncio.Semaphore(limits.uploads)
        self._crashes = itertools.count(1)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        head = _head(scope)
        body = RequestBody(receive, self._limits.idle_seconds)
        try:
            response = await self._answer(head, scope, body)
            if body.more and head.first("expect") is None:
                await body.drain()
            await self._send(response, scope, send, receive, close=body.more)
        except Disconnected:
            return
        except Unanswered as mishap:
            await _break(scope, receive, reset=mishap.how in ("refused", "reset"))
        except TransferBroken:
            await _break(scope, receive, reset=False)
        finally:
            body.abandon()

    def look(self, scope: dict[str, Any]) -> Look | None:
        """What answers a request that is let in and may keep nobody waiting, None for any other.

        The guard need not see it again as long as it is the same, byte for byte.
        """
        if scope["method"] != "GET":
            return None
        head = _head(scope)
        if head.has_body:
            return None
        try:
            self._guard.check(head)
        except Refused:
            return None
        return self._look(_request(head, scope, ()))

    def at_once(self, look: Look) -> Whole | None:
        """The answer to a look if it keeps nobody waiting; None otherwise: call the door."""
        response = self._safely(look.answer)
        return None if response is None else _whole(response, close=False)

    def close(self) -> None:
        """End the threads, each after the request that it is working on."""
        self._threads.shutdown()

    async def _answer(self, head: Head, scope: dict[str, Any], body: RequestBody) -> Response:
        request = _request(head, scope, body)
        try:
            self._guard.check(head)
            await body.begin(is_empty=not head.has_body)
        except Refused as error:
            return problem.render(error)
        async with self._large if body.more else self._small:
            answer: Response = await self._in_thread(self._safely, self._handler.handle, request)
            return answer

    def _safely(self, work: Callable[..., Answer], *asked: Request) -> Answer | Response:
        try:
            return work(*asked)
        except (Disconnected, Unanswered):
            raise
        except Exception as error:
            number = hashlib.blake2b(f"crash {next(self._crashes)}".encode(), digest_size=16)
            request_id = f"req_{number.hexdigest()}"
            if isinstance(error, OSError) and error.strerror:  # the disk is full, or fails
                logger.error("request %s: %s", request_id, error)
                return _crash(request_id, f"The server had an error: {error.strerror}.")
            logger.exception("request %s crashed", request_id)
            return _crash(request_id, "The server had an error.")

    async def _send(
        self,
        response: Response,
        scope: dict[str, Any],
        send: Send,
        receive: Receive,
        *,
        close: bool,
    ) -> None:
        if isinstance(response.body, tuple):
            await scope[WRITE](_whole(response, close=close))
            return
        try:
            headers = [each[:2] for each in _headers(response, None, close=close)]
            await send(
                {"type": "http.response.start", "status": response.status, "headers": headers}
            )
            if scope["method"] != "HEAD":
                await self._stream(iter(response.body), send, receive)
            else:
                await send({"type": "http.response.body", "body": b""})
        finally:
            await self._in_thread(response.close)

    async def _stream(self, pieces: Iterator[bytes], send: Send, receive: Receive) -> None:
        gone = asyncio.ensure_future(receive())
        try:
            while (piece := await self._in_thread(next, pieces, None)) is not None:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _no_look(_: Request) -> None:
    """What a handler has for a look that cannot tell whether it keeps anybody waiting."""


async def _break(scope: dict[str, Any], receive: Receive, *, reset: bool) -> None:
    scope[BREAK](reset=reset)
    while (await receive())["type"] != "http.disconnect":
        pass


def _head(scope: dict[str, Any]) -> Head:
    target = scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    return Head(
        method=scope["method"],
        target=target.decode("latin-1"),
        http_version=scope["http_version"],
        headers=tuple(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        ),
        client=scope["client"][0],
    )


def _request(head: Head, scope: dict[str, Any], body: Iterable[bytes]) -> Request:
    return Request(
        method="GET" if head.method == "HEAD" else head.method,
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=head.headers,
        body=body,
    )


def _whole(response: Response, *, close: bool) -> Whole:
    body = b"".join(response.body)
    lines = [header.line for header in _headers(response, len(body), close=close)]
    return Whole(response.status, lines, body, close)


class _Header(NamedTuple):
    """A header as it goes out; its name in lower case."""

    name: bytes
    value: bytes
    line: bytes


def _headers(response: Response, length: int | None, *, close: bool) -> list[_Header]:
    """Those of an answer, with what every one has; `length` is that of its body, if known."""
    # The API lets pages of any origin read its file routes; a server on a desk must not.
    encoded = [_encoded(*header) for header in response.headers]
    headers = [header for header in encoded if not header.name.startswith(b"access-control-")]
    names = [header.name for header in headers]
    if b"date" not in names:
        headers.append(_date(int(_CLOCK.now())))
    if length is not None and b"content-length" not in names:
        headers.append(_encoded("content-length", str(length)))
    if close:
        headers.append(_encoded("connection", "close"))
    return headers


@functools.lru_cache(128)
def _encoded(name: str, value: str) -> _Header:
    """A header as it goes out: nearly all are the same in every answer."""
    if _CONTROL.search(value):
        raise ValueError(f"the value of the header {name} would end it")
    encoded = name.lower().encode("latin-1"), value.encode("latin-1")
    return _Header(*encoded, b"%b: %b\r\n" % encoded)


@functools.lru_cache(1)
def _date(second: int) -> _Header:
    """The header for a time in unix seconds."""
    return _encoded("date", formatdate(second, usegmt=True))


def _crash(request_id: str, what: str) -> Response:
    envelope = {
        "message": f"{what} Its log says more about request {request_id}.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    return render.pretty({"error": envelope}, status=500, headers=(("x-request-id", request_id),))
