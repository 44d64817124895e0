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
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from batchsim.clock import SystemClock
from batchsim.domain.mishaps import Unanswered
from batchsim.errors import Refused, TransferBroken
from batchsim.server.bodies import Disconnected, Receive, RequestBody
from batchsim.server.guard import Guard, Head
from batchsim.server.limits import ServerLimits
from batchsim.wire import Request, Response, problem, render

Answer = TypeVar("Answer", bound=Response | None)
Send = Callable[[dict[str, Any]], Awaitable[None]]

BREAK = "batchsim.break"
"""What ends the connection of a request, in its scope."""

WRITE = "batchsim.write"
"""What answers a request with one piece, a Whole, in its scope."""

_CLOCK = SystemClock()

SMALL_REQUESTS = 32
"""How many requests are worked on at a time, besides the large uploads."""

logger = logging.getLogger("batchsim.server")


class Whole(NamedTuple):
    """An answer that can be written at one go."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Handler(Protocol):
    """What answers requests: `wire.App`, or something in front of it."""

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when the connection shall end instead."""
        ...


@runtime_checkable
class PromptHandler(Handler, Protocol):
    """One that can tell when it keeps nobody waiting."""

    def at_once(self, request: Request) -> Response | None:
        """The answer if it takes no time to speak of, else None, and nothing has happened."""
        ...


class Door:
    """The ASGI application. `close` it when its loop has ended."""

    def __init__(self, handler: Handler, guard: Guard, limits: ServerLimits) -> None:
        self._handler = handler
        self._at_once = handler.at_once if isinstance(handler, PromptHandler) else _never
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

    def at_once(self, scope: dict[str, Any]) -> Whole | None:
        """The answer to a request that keeps nobody waiting, None for any other: call the door."""
        if scope["method"] != "GET":
            return None
        head = _head(scope)
        if head.has_body:
            return None
        try:
            self._guard.check(head)
        except Refused:
            return None
        response = self._safely(self._at_once, _request(head, scope, ()))
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

    def _safely(self, handle: Callable[[Request], Answer], request: Request) -> Answer | Response:
        try:
            return handle(request)
        except (Disconnected, Unanswered):
            raise
        except Exception:
            number = hashlib.blake2b(f"crash {next(self._crashes)}".encode(), digest_size=16)
            request_id = f"req_{number.hexdigest()}"
            logger.exception("request %s crashed", request_id)
            return _crash(request_id)

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
            headers = _headers(response, None, close=close)
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


def _never(_: Request) -> None:
    """The answer of a handler that cannot tell whether it keeps anybody waiting."""


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
    return Whole(response.status, _headers(response, body, close=close), body)


def _headers(response: Response, whole: bytes | None, *, close: bool) -> list[tuple[bytes, bytes]]:
    # The API lets pages of any origin read its file routes; a server on a desk must not.
    encoded = [_encoded(*each) for each in response.headers]
    headers = [each for each in encoded if not each[0].startswith(b"access-control-")]
    names = [name for name, _ in headers]
    if b"date" not in names:
        headers.append((b"date", _date(int(_CLOCK.now()))))
    if whole is not None and b"content-length" not in names:
        headers.append((b"content-length", b"%d" % len(whole)))
    if close:
        headers.append((b"connection", b"close"))
    return headers


@functools.lru_cache(64)
def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    """A header as it goes out: nearly all are the same in every answer."""
    return name.lower().encode("latin-1"), value.encode("latin-1")


@functools.lru_cache(1)
def _date(second: int) -> bytes:
    """A time in unix seconds, as headers have it."""
    return formatdate(second, usegmt=True).encode("ascii")


def _crash(request_id: str) -> Response:
    envelope = {
        "message": f"The server had an error. Its log says more about request {request_id}.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    return render.pretty({"error": envelope}, status=500, headers=(("x-request-id", request_id),))
