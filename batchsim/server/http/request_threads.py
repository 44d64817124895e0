"""The threads that work on requests: on the event loop nothing may take time.

Small requests and large uploads have pools of their own, so that uploads, however many and slow,
never keep a poll waiting.
"""

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from batchsim.domain.transport_failures import Unanswered
from batchsim.server.http.encoding import Encoded, encode
from batchsim.server.http.request_body import Disconnected
from batchsim.wire import Request, Response
from batchsim.wire.http import render

SMALL_REQUESTS = 32  # requests that are worked on at a time, besides the large uploads

Outcome = Encoded | Unanswered
"""An answer, or the way in which the connection shall end without one."""

logger = logging.getLogger("batchsim.server")


class Handler(Protocol):
    """Answers requests: `wire.App`, or something in front of it."""

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when the connection shall end instead."""
        ...


class RequestThreads:
    """Has `handler` answer requests, up to `uploads` large ones at a time."""

    def __init__(self, handler: Handler, uploads: int) -> None:
        self._handler = handler
        self._small = ThreadPoolExecutor(SMALL_REQUESTS, "batchsim-request")
        self._large = ThreadPoolExecutor(uploads, "batchsim-request-large")
        self._crashes = itertools.count(1)

    def start(self, request: Request, answer: Callable[[Outcome], None], *, is_large: bool) -> None:
        pool = self._large if is_large else self._small
        pool.submit(self._work, request, answer, asyncio.get_running_loop())

    def call(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._small, function, *arguments)

    async def close(self) -> None:
        """End the threads, each after the request that it is working on."""
        for pool in (
            self._small,
            self._large,
        ):  # the loop goes on: threads hand over what they have
            await asyncio.to_thread(pool.shutdown)

    def _work(
        self, request: Request, answer: Callable[[Outcome], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        outcome: Outcome
        try:
            outcome = encode(self._handler.handle(request))
        except Disconnected:
            return
        except Unanswered as failure:
            outcome = failure
        except Exception as error:  # noqa: BLE001 - a bug, which the log tells
            outcome = encode(self._crash(error))
        loop.call_soon_threadsafe(answer, outcome)

    def _crash(self, error: Exception) -> Response:
        number = hashlib.blake2b(f"crash {next(self._crashes)}".encode(), digest_size=16)
        request_id = f"req_{number.hexdigest()}"
        message = "The server had an error."
        if isinstance(error, OSError) and error.strerror:  # the disk is full, or fails
            logger.error("request %s: %s", request_id, error)
            message = f"The server had an error: {error.strerror}."
        else:
            logger.error("request %s crashed", request_id, exc_info=error)
        envelope = {
            "message": f"{message} Its log says more about request {request_id}.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
        headers = (("x-request-id", request_id),)
        return render.pretty({"error": envelope}, status=500, headers=headers)
