"""A port that receives webhooks, verifies them, and passes on the ids of their batches.

Theory of operation. Anybody can reach a port behind a tunnel. So an event counts only when its
signature is valid (Standard Webhooks, HMAC-SHA256, at most five minutes old), bodies and the number
of connections are small, and every connection has a time limit. Only an id is passed on, and its
batch is then read from the service, so a replayed event does no harm. Answers have a status only.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from batchsim.errors import UsageError
from batchsim.wire.webhook_events import verify

LONGEST_BODY = 65_536  # bytes; an event of a batch has a few hundred

CONNECTION_SECONDS = 10.0
MOST_CONNECTIONS = 32

_EVENTS = "batch."


@contextlib.contextmanager
def receive_webhooks(
    secret: str,
    give: Callable[[str], object],
    *,
    now: Callable[[], float],
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[str]:
    """Receive webhooks while the block runs; the value is an address like `http://127.0.0.1:8123`.

    `give` gets the id of the batch of every verified `batch.*` event, in another thread. Raises
    UsageError for an invalid secret, and for an address that cannot be used.
    """
    verify(secret, {}, b"", now())  # so that an invalid secret is refused now
    handler = type(
        "Handler",
        (_Handler,),
        {"secret": secret, "give": staticmethod(give), "now": staticmethod(now)},
    )
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise UsageError(
            f"cannot listen for webhooks on port {port} of {host}: {error.strerror or error}",
            hint="name a free port of this machine",
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="batchsim-webhooks", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing for a broken connection."""


class _Handler(BaseHTTPRequestHandler):
    timeout = CONNECTION_SECONDS
    server_version = "batchsim"
    sys_version = ""
    secret: str
    give: Callable[[str], object]
    now: Callable[[], float]

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or self.headers.get("transfer-encoding"):
            return self._answer(411)
        if len(length) > 9 or int(length) > LONGEST_BODY:
            return self._answer(413)
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if len(body) < int(length) or not verify(self.secret, headers, body, self.now()):
            return self._answer(400)
        batch_id = _batch_of(body)
        if batch_id is not None:
            self.give(batch_id)
        return self._answer(200)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing of what strangers send."""

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


def _batch_of(body: bytes) -> str | None:
    try:
        event = orjson.loads(body)
        is_batch = isinstance(event["type"], str) and event["type"].startswith(_EVENTS)
        batch_id = event["data"]["id"] if is_batch else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return batch_id if isinstance(batch_id, str) else None
