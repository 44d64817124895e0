"""Reroute the requests that HTTP clients send to OpenAI: the open `intercept` block answers them.

Every official client sends through a transport of httpx or httpx2 (or of its aiohttp extra), so
the public methods of those classes are replaced. There the body has not been read yet, so it
streams. Clients that were made earlier pass here too, and proxies are never asked.

A request is for OpenAI when its host says so, or when it comes from a client of the openai package
and goes to that client's own base URL. All other requests keep their transport, and meet the guard
of the network. Transports that reach no network (a MockTransport) stay as they are.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from batchsim.errors import NetworkForbidden
from batchsim.testing.intercept_scopes import Scope, in_force
from batchsim.testing.network_guard import Patch

OPENAI_HOST = "api.openai.com"
OPENAI_HOSTS = (".api.openai.com", ".openai.azure.com")
"""The endings of the names of all other hosts of the API: the regions', and Azure's."""

LIBRARIES = ("httpx", "httpx2")

AIOHTTP_TRANSPORTS = (("httpx", "httpx_aiohttp"), ("httpx2", "openai._vendor.httpx_aiohttp"))
"""The modules with the transport of `DefaultAioHttpClient`, in openai 1.x and 2.x, and in 3.x."""

_client: ContextVar[Any] = ContextVar("batchsim_openai_client", default=None)


def patches() -> Iterator[Patch]:
    """The patches that reroute requests. Imports openai and the HTTP libraries that there are."""
    import openai

    yield _calling(openai.OpenAI)
    yield _calling_async(openai.AsyncOpenAI)
    for name in LIBRARIES:
        if importlib.util.find_spec(name):
            library = importlib.import_module(name)
            yield _taking(library.HTTPTransport, library)
            yield _taking_async(library.AsyncHTTPTransport, library)
    for name, home in AIOHTTP_TRANSPORTS:
        # openai has imported it when aiohttp is there
        if transport := getattr(sys.modules.get(home), "AiohttpTransport", None):
            yield _taking_async(transport, sys.modules[name])


def _calling(owner: Any) -> Patch:
    original = owner.request

    @functools.wraps(original)
    def request(client: Any, *arguments: Any, **options: Any) -> Any:
        with _call_of(client):
            return original(client, *arguments, **options)

    return Patch(owner, "request", request)


def _calling_async(owner: Any) -> Patch:
    original = owner.request

    @functools.wraps(original)
    async def request(client: Any, *arguments: Any, **options: Any) -> Any:
        with _call_of(client):
            return await original(client, *arguments, **options)

    return Patch(owner, "request", request)


@contextmanager
def _call_of(client: Any) -> Iterator[None]:
    token = _client.set(client)
    try:
        yield
    finally:
        _client.reset(token)


def _taking(owner: Any, library: Any) -> Patch:
    original: Callable[[Any, Any], Any] = owner.handle_request

    @functools.wraps(original)
    def handle_request(transport: Any, request: Any) -> Any:
        scope = _destination(request)
        if scope is None:
            return original(transport, request)
        return scope.transport(library).handle_request(_rerouted(request))

    return Patch(owner, "handle_request", handle_request)


def _taking_async(owner: Any, library: Any) -> Patch:
    original: Callable[[Any, Any], Any] = owner.handle_async_request

    @functools.wraps(original)
    async def handle_async_request(transport: Any, request: Any) -> Any:
        scope = _destination(request)
        if scope is None:
            with _forbidding_plainly():
                return await original(transport, request)
        return await scope.transport(library).handle_async_request(_rerouted(request))

    return Patch(owner, "handle_async_request", handle_async_request)


@contextmanager
def _forbidding_plainly() -> Iterator[None]:
    """Raise the guard's error by itself: anyio connects in a task group, which wraps it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException | None = group.subgroup(NetworkForbidden)
        if error is None:
            raise
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def _destination(request: Any) -> Scope | None:
    """The block that answers a request; None when it keeps its transport."""
    scope = in_force()
    host, port = request.url.host, _port(request.url)
    if scope is None or scope.allowed.admits(host, port):
        return None
    is_for_openai = host == OPENAI_HOST or host.endswith(OPENAI_HOSTS)
    return scope if is_for_openai or _goes_to_base_url(request) else None


def _goes_to_base_url(request: Any) -> bool:
    client = _client.get()
    if client is None:
        return False
    base_url = client.base_url
    return bool(base_url.host == request.url.host and _port(base_url) == _port(request.url))


def _rerouted(request: Any) -> Any:
    """The request with the path that it has at OpenAI, or at Azure when it follows Azure's ways.

    A client's base URL may have any path; what follows it is the API's.
    """
    if not _goes_to_base_url(request):
        return request
    path, base = request.url.raw_path, _client.get().base_url.raw_path
    if path.startswith(base):
        rest = path.removeprefix(base)
        is_azure = "api-key" in request.headers or rest.startswith(b"deployments/")
        path = (b"/openai/" if is_azure else b"/v1/") + rest
    return type(request)(
        request.method,
        request.url.copy_with(raw_path=path),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )


def _port(url: Any) -> int:
    return url.port or {"http": 80}.get(url.scheme, 443)
