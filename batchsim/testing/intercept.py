"""Run code that talks to OpenAI against a backend in the same process, without changing it.

    with batchsim.intercept(FakeBackend(seed=1)) as fake:
        main()  # whatever clients it makes, wherever it makes them

While a block is open, requests to OpenAI go to the backend (`http_routing`), nothing else leaves
the machine (`network_guard`), and there is an API key in the environment, so that `OpenAI()` can be
made. All this ends when the last block closes. Blocks may be nested, and open in many threads and
tasks at once (`intercept_scopes`).
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar, cast
from unittest import mock

from batchsim.errors import UsageError
from batchsim.testing import http_routing, intercept_scopes, network_guard
from batchsim.testing.intercept_scopes import Scope
from batchsim.testing.network_guard import Allowed
from batchsim.testing.transport import API_KEY, Service, app_of

Answering = TypeVar("Answering", bound=Service)
Function = TypeVar("Function", bound=Callable[..., Any])

KEY_VARIABLE = "OPENAI_API_KEY"


def intercept(backend: Answering, *, allow: Iterable[str] = ()) -> "Interception[Answering]":
    """While it is open, every OpenAI client in this process talks to `backend`.

    `backend` is a Backend for every key, Tenants with one for each key, or an App. The value is a
    context manager, which gives `backend`, and a decorator of sync and async functions. Covered
    are: `OpenAI`, `AsyncOpenAI` and the Azure clients, made before or inside, with any base URL
    and any `http_client` that would reach a network; the module-level client; and plain httpx and
    httpx2 requests to the hosts of OpenAI and Azure OpenAI. Bodies stream both ways.

    Everything else is closed: to connect to another machine, or to look one up, raises
    NetworkForbidden. `allow` names hosts to leave alone, as `host` or `host:port`; OpenAI's own may
    be among them. Loopback and unix sockets stay open, but clients of the openai package go to
    `backend` wherever their base URL points. Other processes are not affected.

    Raises UsageError for an `allow` that is no list of hosts, and for a class or a generator that
    it is to decorate.
    """
    return Interception(backend, allow)


class Interception(Generic[Answering]):
    """A block of `intercept`. It may be used again once it is closed."""

    def __init__(self, backend: Answering, allow: Iterable[str]) -> None:
        self._backend = backend
        self._allow = allow if isinstance(allow, str) else tuple(allow)
        self._allowed()
        self._scope: Scope | None = None

    def __enter__(self) -> Answering:
        if self._scope is not None:
            raise UsageError("this block is open already", hint="call intercept() again")
        self._scope = Scope(app_of(self._backend), self._allowed())
        _open(self._scope)
        return self._backend

    def __exit__(self, *_: object) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            _close(scope)

    def __call__(self, function: Function) -> Function:
        """Decorate a function: each call runs in a block of its own."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*arguments: Any, **options: Any) -> Any:
                with intercept(self._backend, allow=self._allow):
                    return await function(*arguments, **options)

            return cast(Function, run_async)
        if not inspect.isroutine(function) or _is_generator(function):
            hint = "write `with intercept(...):` inside it"
            raise UsageError("intercept decorates plain and async functions only", hint=hint)

        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            with intercept(self._backend, allow=self._allow):
                return function(*arguments, **options)

        return cast(Function, run)

    def _allowed(self) -> Allowed:
        return Allowed(self._allow)


def _is_generator(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


_in_place = ExitStack()


def _open(scope: Scope) -> None:
    with intercept_scopes.LOCK:
        if not intercept_scopes.is_any_open():
            _put_in_place()
        intercept_scopes.enter(scope)


def _close(scope: Scope) -> None:
    with intercept_scopes.LOCK:
        intercept_scopes.leave(scope)
        if not intercept_scopes.is_any_open():
            _in_place.close()


def _put_in_place() -> None:
    with ExitStack() as stack:
        for patch in (*http_routing.patches(), *network_guard.patches(_allowed_now)):
            stack.enter_context(mock.patch.object(*patch))
        stack.enter_context(_key())
        _in_place.push(stack.pop_all())


def _allowed_now() -> Allowed | None:
    scope = intercept_scopes.in_force()
    return None if scope is None else scope.allowed


@contextmanager
def _key() -> Iterator[None]:
    """Set an API key for clients that would find none, and remove it afterwards."""
    before = os.environ.get(KEY_VARIABLE)
    if before:
        yield
        return
    os.environ[KEY_VARIABLE] = API_KEY
    try:
        yield
    finally:
        if os.environ.get(KEY_VARIABLE) == API_KEY:
            del os.environ[KEY_VARIABLE]
            if before is not None:
                os.environ[KEY_VARIABLE] = before
        _forget_module_key()


def _forget_module_key() -> None:
    import openai

    # The module-level client, once made, keeps its key in `openai.api_key`.
    if openai.api_key == API_KEY:
        openai.api_key = None
        openai._reset_client()  # noqa: SLF001 - a cached client holds on to the key
