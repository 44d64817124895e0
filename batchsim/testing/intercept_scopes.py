"""Find the open `intercept` block that is in force for the code that runs now.

A block holds for the whole process, also for threads and tasks that were there before. Still, two
tests that run at once in two threads or tasks each want their own block. So the newest open block
is in force among those inside the block that the present context opened last. A context that
opened none (a thread of a pool) sees the newest of all.

A block may be closed in another context than it was opened in, as happens to the fixtures of async
tests. Its remains there count as closed, and are skipped.
"""

from contextvars import ContextVar
from threading import RLock
from typing import Any

from batchsim.testing.network_guard import Allowed
from batchsim.testing.transport import in_process_transport
from batchsim.wire import App

LOCK = RLock()  # held while a block is opened or closed, with all that belongs to it


class Scope:
    """One open block: the app that answers in it, and the places that it lets through."""

    def __init__(self, app: App, allowed: Allowed) -> None:
        self.allowed = allowed
        self.is_open = False
        self.outer: Scope | None = None
        self._app = app
        self._transports: dict[Any, Any] = {}

    def transport(self, library: Any) -> Any:
        """The transport to this block's backend for clients of `library`, httpx or httpx2."""
        if library not in self._transports:
            self._transports[library] = in_process_transport(self._app, library)
        return self._transports[library]

    def is_within(self, other: "Scope | None") -> bool:
        """True when this block is `other` or was opened inside it. None stands for the process."""
        scope: Scope | None = self
        while scope is not other and scope is not None:
            scope = scope.outer
        return scope is other


_mine: ContextVar[Scope | None] = ContextVar("batchsim_intercept", default=None)
_open: tuple[Scope, ...] = ()


def in_force() -> Scope | None:
    """The block that the code now running is in; None outside all blocks."""
    mine = _nearest_open(_mine.get()) if _open else None
    return next((scope for scope in reversed(_open) if scope.is_within(mine)), None)


def is_any_open() -> bool:
    return bool(_open)


def enter(scope: Scope) -> None:
    global _open  # noqa: PLW0603 - one process, one network
    with LOCK:
        scope.outer = _nearest_open(_mine.get())
        scope.is_open = True
        _mine.set(scope)
        _open = (*_open, scope)


def leave(scope: Scope) -> None:
    """Close a block, in whatever context and order."""
    global _open  # noqa: PLW0603 - one process, one network
    with LOCK:
        scope.is_open = False
        if _mine.get() is scope:
            _mine.set(_nearest_open(scope.outer))
        _open = tuple(each for each in _open if each is not scope)


def _nearest_open(scope: Scope | None) -> Scope | None:
    while scope is not None and not scope.is_open:
        scope = scope.outer
    return scope
