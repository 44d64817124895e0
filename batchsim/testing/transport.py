"""The official client, wired to a Backend in the same process: no port, no network, no patching.

    client = openai_client(FakeBackend(seed=1))
    client.files.create(file=open("input.jsonl", "rb"), purpose="batch")

The client is real, only its transport is not: requests are handed to batchsim's own REST surface.
Bodies stream both ways. The base URL is a name that no resolver knows, so that a client which has
lost its transport cannot reach anything. A client's time-out for reading an answer counts on the
backend's clock: an answer that a fault delays for longer is not waited for.

The same code serves httpx (openai 1.x and 2.x) and httpx2 (3.x, and late 2.x with its extra): they
have the same classes, so the module is an argument.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from batchsim.backends import Backend
from batchsim.backends.fake.fault_injection import client_timeout
from batchsim.backends.fake.log import taken_whole
from batchsim.backends.openai.connection import http_library
from batchsim.domain.transport_failures import Unanswered
from batchsim.errors import BatchsimError
from batchsim.jsonl import BLOCK
from batchsim.wire import App, Request, Response, Tenants

if TYPE_CHECKING:
    import openai

Service = Backend | Tenants | App  # one for every key, one for each key, or the API

BASE_URL = "http://batchsim.invalid/v1"
API_KEY = "sk-batchsim"


def openai_client(backend: Service, *, library: Any = None, **options: Any) -> openai.OpenAI:
    """An `openai.OpenAI` that talks to `backend`.

    `library` is the module httpx or httpx2; by default the one that the installed SDK stands on.
    The SDK raises TypeError for one that it does not support. `options` go to the client: its
    retries, for one, are on unless `max_retries=0` is among them.
    """
    import openai

    library = library or http_library()
    http_client = library.Client(transport=in_process_transport(backend, library))
    return openai.OpenAI(**{**_DEFAULTS, **options, "http_client": http_client})


def async_openai_client(
    backend: Service, *, library: Any = None, **options: Any
) -> openai.AsyncOpenAI:
    """An `openai.AsyncOpenAI` that talks to `backend`; the arguments are those of openai_client.

    The backend is called on the event loop's own thread, where a simulated one answers at once.
    """
    import openai

    library = library or http_library()
    http_client = library.AsyncClient(transport=in_process_transport(backend, library))
    return openai.AsyncOpenAI(**{**_DEFAULTS, **options, "http_client": http_client})


def in_process_transport(backend: Service, library: Any) -> Any:
    """A transport for the sync and the async clients of `library`, the module httpx or httpx2."""
    app = app_of(backend)
    content_class = _content_class(library)

    class InProcessTransport(library.BaseTransport, library.AsyncBaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return self._answer(request, request.stream)

        async def handle_async_request(self, request: Any) -> Any:
            with tempfile.SpooledTemporaryFile(max_size=BLOCK) as body:
                async for piece in request.stream:
                    body.write(piece)
                body.seek(0)
                return self._answer(request, iter(lambda: body.read(BLOCK), b""))

        def _answer(self, request: Any, body: Iterable[bytes]) -> Any:
            timeouts = request.extensions.get("timeout") or {}
            token = client_timeout.set(_seconds(timeouts.get("read")))
            try:
                answer = app.handle(_request(request, body))
            except Unanswered as mishap:
                raise _broken(mishap, library) from None
            finally:
                client_timeout.reset(token)
            return library.Response(
                status_code=answer.status,
                headers=list(answer.headers),
                stream=content_class(answer),
                extensions={"http_version": b"HTTP/1.1"},
            )

    return InProcessTransport()


def app_of(backend: Service) -> App:
    """The API in front of `backend`."""
    return backend if isinstance(backend, App) else App(backend)


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else max(0.0, timeout)


def _broken(mishap: Unanswered, library: Any) -> Exception:
    """The error that the library raises on a real connection that ends so."""
    match mishap.how:
        case "refused":
            error: Exception = library.ConnectError("[Errno 111] Connection refused")
        case "reset":
            error = library.ReadError("[Errno 104] Connection reset by peer")
        case "closed":
            error = library.RemoteProtocolError("Server disconnected without sending a response.")
        case _:
            error = library.ReadTimeout("The read operation timed out")
    return error


def _content_class(library: Any) -> Any:
    class Content(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        """The body of an answer. It breaks as a connection would when its source breaks."""

        def __init__(self, answer: Response) -> None:
            self._answer = answer

        def __iter__(self) -> Iterator[bytes]:
            pieces = iter(self._answer.body)
            is_whole = _is_read_whole(library)
            try:
                while (piece := _next(pieces, is_whole=is_whole)) is not None:
                    yield piece
            except BatchsimError as error:
                raise library.RemoteProtocolError(str(error)) from error

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

        def close(self) -> None:
            self._answer.close()

        async def aclose(self) -> None:
            self.close()

    return Content


def _is_read_whole(library: Any) -> bool:
    """True when the client library joins the body in memory: always, unless it is streamed."""
    frame = sys._getframe(1)  # noqa: SLF001 - nothing public says it
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name in ("read", "aread"):
            return isinstance(frame.f_locals.get("self"), library.Response)
    return False


def _next(pieces: Iterator[bytes], *, is_whole: bool) -> bytes | None:
    token = taken_whole.set(is_whole)
    try:
        return next(pieces, None)
    finally:
        taken_whole.reset(token)


_DEFAULTS = {"base_url": BASE_URL, "api_key": API_KEY}


def _request(request: Any, body: Iterable[bytes]) -> Request:
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    return Request(
        method=request.method,
        path=path,
        query=query,
        headers=tuple(request.headers.multi_items()),
        body=body,
    )
