"""Sleep that costs no real time.

Theory of operation. While `sleep_virtually` is open, `time.sleep`, `asyncio.sleep`, `anyio.sleep`
and `trio.sleep` are replaced wherever a loaded module has one under the name `sleep`. So
`from time import sleep` is covered too. A caller sleeps until a due time of the virtual clock.
First the others get a turn. Then the sleeper with the earliest due time moves the clock to it. So
the clock goes from one due time to the next. A sleeper may wait for an earlier one that never wakes
(its event loop is blocked, say): after PATIENCE turns it moves the clock itself, so that nothing
waits for ever.

Once somebody has slept in an event loop, its clock adds the virtual seconds to its own. So the
time-outs of asyncio, anyio and trio count virtual and real seconds.

Not covered: waits for something that may happen earlier (`Event.wait(10)`,
`Queue.get(timeout=10)`), functions kept under another name or as a default argument,
`trio.sleep_until`, the time-outs of uvloop, and the time itself (`time.time`, `time.monotonic`).
An endless sleep stays real, and so do the sleeps of packages that wait for other processes
(WAITING_FOR_PROCESSES).
"""

import asyncio
import bisect
import functools
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import Any
from unittest import mock

import pytest

from batchsim.clock import VirtualClock

MOST_SLEEPS = 100_000  # in one test: a poll every 10 s for eleven days, or a minute of real time

WAITING_FOR_PROCESSES = frozenset(
    {"execnet", "filelock", "multiprocessing", "subprocess", "uvicorn", "xdist"}
)
"""Packages whose own sleeps are real: other processes do not share the virtual clock."""

SETTLING = 10  # turns that an async sleeper gives to the other tasks before the clock may move

PATIENCE = 100
"""Turns without a movement of the clock after which a sleeper no longer waits for earlier ones."""

NAP = 0.001  # real seconds that a thread gives to other threads of the test, as a turn

Function = Callable[..., Any]


@contextmanager
def sleep_virtually(clock: VirtualClock) -> Iterator[None]:
    """Let the code of this process sleep on `clock`, in any thread and event loop.

    A test that sleeps more often than MOST_SLEEPS fails, by `pytest.fail` from the sleep.
    """
    sleepers = _Sleepers(clock)
    pairs = list(_pairs(sleepers))
    known = len(sys.modules)
    met = _swap(_suspects.find(), {id(original): double for original, double in pairs})
    try:
        yield
    finally:
        sleepers.close()
        # A second look through all modules would double the time that a test costs. A replacement
        # that was kept in another way than these stays, and sleeps in real time from now on.
        loaded = islice(sys.modules.values(), known, None)
        _swap((*met, *loaded), {id(double): original for original, double in pairs})


def _pairs(sleepers: "_Sleepers") -> Iterator[tuple[Function, Function]]:
    for name, make in _MAKERS.items():
        if module := sys.modules.get(name):
            yield module.sleep, make(sleepers, module.sleep)


class _Suspects:
    """The loaded modules that have something called `sleep`.

    There are thousands of modules, so all of them are looked through again only when the last one,
    or their number, is another than it was.
    """

    def __init__(self) -> None:
        self._number = 0
        self._last: Any = None
        self._found: tuple[Any, ...] = ()

    def find(self) -> tuple[Any, ...]:
        modules = sys.modules
        number, last = len(modules), modules[next(reversed(modules))]
        if number != self._number or last is not self._last:
            self._number, self._last = number, last
            self._found = tuple(
                module
                for module in tuple(modules.values())
                if "sleep" in getattr(module, "__dict__", ())  # a lazy one is not to be woken
            )
        return self._found


_suspects = _Suspects()


def _swap(modules: Iterable[Any], replacements: Mapping[int, Function]) -> list[Any]:
    """Replace the functions called `sleep` in `modules`; return the modules that had one."""
    met = []
    for module in tuple(modules):
        names = getattr(module, "__dict__", None)  # a lazy module is not to be woken
        if names is not None and (replacement := replacements.get(id(names.get("sleep")))):
            names["sleep"] = replacement
            met.append(module)
    return met


class _Sleeper:
    def __init__(self, due: float) -> None:
        self.due = due
        self.patience = PATIENCE
        self.last_seen = -math.inf


class _Sleepers:
    """All sleepers of one clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: list[float] = []
        self._count = 0
        self._is_open = True
        self._loops = _LoopClocks(clock)
        self._strangers = set(threading.enumerate()) - {threading.current_thread()}

    def close(self) -> None:
        """Make replacements that somebody still holds sleep in real time from now on."""
        self._is_open = False
        self._loops.close()

    def meets(self, seconds: Any) -> bool:
        """True when the calling replacement is to sleep virtually.

        The caller's package and the duration decide. The original refuses a bad duration.
        """
        caller = sys._getframe(2)  # noqa: SLF001 - nothing public says it
        package = caller.f_globals.get("__name__", "").partition(".")[0]
        return self._is_open and package not in WAITING_FOR_PROCESSES and 0 < seconds < math.inf

    def sleep(self, seconds: float, give_a_turn: Callable[[float], None]) -> None:
        with self._asleep(seconds) as sleeper:
            give_a_turn(NAP if self._has_company() else 0)
            while not self._wakes(sleeper):
                give_a_turn(NAP)

    async def sleep_async(self, seconds: float, give_a_turn: Function) -> None:
        self._loops.follow(_loop_clock())
        with self._asleep(seconds) as sleeper:
            for _ in range(SETTLING):
                await give_a_turn(0)
            while not self._wakes(sleeper):
                await give_a_turn(0)

    def _has_company(self) -> bool:
        """True when the test has other threads: they may be about to sleep for a shorter time."""
        strangers = self._strangers | {threading.current_thread()}
        return any(thread not in strangers for thread in threading.enumerate())

    @contextmanager
    def _asleep(self, seconds: float) -> Iterator[_Sleeper]:
        with self._lock:
            self._count += 1
            if self._count > MOST_SLEEPS:
                pytest.fail(
                    f"the code under test has slept {MOST_SLEEPS:,} times, "
                    "and seems to wait for what never comes"
                )
            sleeper = _Sleeper(self._clock.now() + seconds)
            bisect.insort(self._due, sleeper.due)
        try:
            yield sleeper
        finally:
            with self._lock:
                self._due.remove(sleeper.due)

    def _wakes(self, sleeper: _Sleeper) -> bool:
        with self._lock:
            now = self._clock.now()
            if now < sleeper.due:
                if now != sleeper.last_seen:
                    sleeper.last_seen, sleeper.patience = now, PATIENCE
                sleeper.patience -= 1
                if self._due[0] < sleeper.due and sleeper.patience:
                    return False
                with suppress(ValueError):  # the test itself has just moved it further
                    self._clock.advance_to(sleeper.due)
            return True


class _LoopClocks:
    """Makes the clocks of event loops follow a virtual clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._since: dict[int, tuple[Any, float]] = {}
        self._patched: set[type] = set()
        self._patches = ExitStack()

    def follow(self, found: tuple[Any, str] | None) -> None:
        if found is None or id(found[0]) in self._since:
            return
        loop, method = found
        self._since[id(loop)] = loop, self._clock.now()
        if type(loop) not in self._patched:
            self._patched.add(type(loop))
            self._patches.enter_context(
                mock.patch.object(type(loop), method, self._following(getattr(type(loop), method)))
            )

    def close(self) -> None:
        """Let the loops go at their own pace again."""
        self._patches.close()

    def _following(self, original: Function) -> Function:
        @functools.wraps(original)
        def time(loop: Any) -> Any:
            _, since = self._since.get(id(loop), (loop, None))
            ahead = 0.0 if since is None else self._clock.now() - since
            return original(loop) + ahead

        return time


def _loop_clock() -> tuple[Any, str] | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return sys.modules["trio"].lowlevel.current_clock(), "current_time"
    return (loop, "time") if isinstance(loop, asyncio.BaseEventLoop) else None


def _of_threads(sleepers: _Sleepers, original: Function) -> Function:
    @functools.wraps(original)
    def sleep(seconds: Any, /) -> None:
        if sleepers.meets(seconds):
            sleepers.sleep(seconds, original)
        else:
            original(seconds)

    return sleep


def _of_asyncio(sleepers: _Sleepers, original: Function) -> Function:
    @functools.wraps(original)
    async def sleep(delay: Any, result: Any = None) -> Any:
        if sleepers.meets(delay):
            await sleepers.sleep_async(delay, original)
        else:
            await original(delay)
        return result

    return sleep


def _of_trio(sleepers: _Sleepers, original: Function) -> Function:
    @functools.wraps(original)
    async def sleep(seconds: Any) -> None:
        if sleepers.meets(seconds):
            await sleepers.sleep_async(seconds, original)
        else:
            await original(seconds)

    return sleep


_MAKERS: Mapping[str, Callable[[_Sleepers, Function], Function]] = {
    "time": _of_threads,
    "asyncio": _of_asyncio,
    "anyio": _of_asyncio,
    "trio": _of_trio,
}
