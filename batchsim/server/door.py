"""A request that came in over a connection -> `wire` -> the answer that goes out.

Theory of operation. This is an ASGI application. The event loop only moves bytes: whatever may
take time (files, simulated work, locks) runs in a thread, one at a time for each request. Small
requests and large uploads have separate numbers of places, so that uploads, however many and slow,
never keep a poll waiting.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, Protocol

from batchsim.domain.mishaps import Unanswered
from batchsim.errors import Refused, TransferBroken
from batchsim.server.bodies import Disconnected, Receive, RequestBody
from batchsim.server.guard import Guard, Head
from batchsim.server.limits import ServerLimits
from batchsim.wire import Request, Response, problem, render

Send = Callable[[dict[str, Any]], Awaitable[None]]

BREAK = "batchsim.break"
"""What ends the connection of a request, in its scope."""

SMALL_REQUESTS = 32
"""How many requests are worked on at a time, besides the large uploads."""

logger = logging.getLogger("batchsim.server")


class Handler(Protocol):
    """What answers requests: `wire.App`, or something in front of it."""

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when the connection shall end instead."""
        ...


class Door:
    """The ASGI application. `close` it when its loop has ended."""

    def __init__(self, handler: Handler, guard: Guard, limits: ServerLimits) -> None:
        self._handler = handler
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
            await self._send(response, head.method, send, receive, close=body.more)
        except Disconnected:
            return
        except Unanswered as mishap:
            await _break(scope, receive, reset=mishap.how in ("refused", "reset"))
        except TransferBroken:
            await _break(scope, receive, reset=False)
        finally:
            body.abandon()

    def close(self) -> None:
        """End the threads, each after the request that it is working on."""
        self._threads.shutdown()

    async def _answer(self, head: Head, scope: dict[str, Any], body: RequestBody) -> Response:
        try:
            self._guard.check(head)
            await body.begin(is_empty=not head.has_body)
        except Refused as error:
            return problem.render(error)
        request = Request(
            method="GET" if head.method == "HEAD" else head.method,
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=head.headers,
            body=body,
        )
        async with self._large if body.more else self._small:
            answer: Response = await self._in_thread(self._handle, request)
            return answer

    def _handle(self, request: Request) -> Response:
        try:
            return self._handler.handle(request)
        except (Disconnected, Unanswered):
            raise
        except Exception:
            number = hashlib.blake2b(f"crash {next(self._crashes)}".encode(), digest_size=16)
            request_id = f"req_{number.hexdigest()}"
            logger.exception("request %s crashed", request_id)
            return _crash(request_id)

    async def _send(
        self, response: Response, method: str, send: Send, receive: Receive, *, close: bool
    ) -> None:
        try:
            whole = b"".join(response.body) if isinstance(response.body, tuple) else None
            headers = _headers(response, whole, close=close)
            await send(
                {"type": "http.response.start", "status": response.status, "headers": headers}
            )
            if whole is None and method != "HEAD":
                await self._stream(iter(response.body), send, receive)
            else:
                await send({"type": "http.response.body", "body": whole or b""})
        finally:
            if not isinstance(response.body, tuple):
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
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
        client=scope["client"][0],
    )


def _headers(response: Response, whole: bytes | None, *, close: bool) -> list[tuple[bytes, bytes]]:
    # The API lets pages of any origin read its file routes; a server on a desk must not.
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers
        if not name.startswith("access-control-")
    ]
    if response.header("date") is None:
        headers.append((b"date", formatdate(usegmt=True).encode("ascii")))
    if whole is not None and response.header("content-length") is None:
        headers.append((b"content-length", b"%d" % len(whole)))
    if close:
        headers.append((b"connection", b"close"))
    return headers


def _crash(request_id: str) -> Response:
    envelope = {
        "message": f"The server had an error. Its log says more about request {request_id}.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    return render.pretty({"error": envelope}, status=500, headers=(("x-request-id", request_id),))
