"""The threads that work on requests: on the event loop nothing may take time.

Small requests, large uploads and the pieces of long answers have pools of their own. So uploads and
downloads, however many and slow, never keep a poll waiting.
"""

import asyncio
import errno
import functools
import hashlib
import itertools
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol

from batchsim.domain.transport_failures import Unanswered
from batchsim.server.http.body_handover import Disconnected
from batchsim.server.http.encoding import Encoded, encode
from batchsim.wire import Request, Response
from batchsim.wire.http import render

SMALL_REQUESTS = 32  # requests that are worked on at a time, besides the large uploads
Outcome = Encoded | Unanswered  # an answer, or how the connection shall end without one

logger = logging.getLogger("batchsim.server")


class Handler(Protocol):
    """Answers requests: `wire.App`, or something in front of it."""

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when the connection shall end instead."""
        ...


class Workers:
    """Up to `most` threads that work in turn; `submit` belongs to one thread.

    A ThreadPoolExecutor makes a future for each piece of work, which costs a tenth of a poll.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: deque[None] = deque()
        """One for each thread that waits for work; more only once there are `most` threads."""

    def submit(self, work: Callable[[], object]) -> None:
        self._waiting.put(work)
        if self._idle:
            self._idle.pop()
        elif len(self._threads) < self._most:
            name = f"{self._name}_{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def shutdown(self) -> None:
        """Wait until all is done that was submitted."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()
            self._idle.append(None)


class RequestThreads:
    """Has `handler` answer requests, up to `uploads` large ones at a time."""

    def __init__(self, handler: Handler, uploads: int) -> None:
        self._handler = handler
        self._small = Workers(SMALL_REQUESTS, "batchsim-request")
        self._large = Workers(uploads, "batchsim-request-large")
        self._pieces = ThreadPoolExecutor(SMALL_REQUESTS, "batchsim-answer")
        self._crashes = itertools.count(1)

    def start(self, request: Request, answer: Callable[[Outcome], None], *, is_large: bool) -> None:
        pool = self._large if is_large else self._small
        pool.submit(functools.partial(self._work, request, answer, asyncio.get_running_loop()))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pieces, function, *arguments)

    async def close(self) -> None:
        """End the threads, each after the request that it is working on."""
        for pool in (self._small, self._large, self._pieces):
            await asyncio.to_thread(pool.shutdown)  # the loop goes on: threads hand over the rest

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
        status = 500
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            status = 503
        envelope = {
            "message": f"{message} Its log says more about request {request_id}.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
        headers = (("x-request-id", request_id),)
        return render.pretty({"error": envelope}, status=status, headers=headers)
