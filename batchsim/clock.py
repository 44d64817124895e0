"""Clocks: the machine's, a faster one, and one that moves only when told to.

A clock knows the time and can wait. Nothing is registered with it. A holder of work that
falls due asks `now()` and does what is due, so one jump of a day equals many small ones.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

VIRTUAL_START = 1_767_225_600.0  # 2026-01-01T00:00:00Z in unix seconds, where a VirtualClock begins


@runtime_checkable
class Clock(Protocol):
    """The two things that batchsim needs of time."""

    def now(self) -> float:
        """The time in unix seconds. Never goes backwards within one clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return once `seconds` (at least 0) have passed on this clock."""
        ...


def steady(clock: Clock) -> float:
    """Seconds since some moment on `clock`, for measuring how much of its time has passed.

    The machine's clock may be set, so it has a `steady` of its own; other clocks give their time.
    """
    return clock.steady() if isinstance(clock, SystemClock) else clock.now()


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """The wall-clock time in unix seconds."""
        return time.time()

    def steady(self) -> float:
        """Seconds since some moment, which setting the machine's clock does not touch."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        time.sleep(max(0.0, seconds))


class ScaledClock:
    """A clock that runs `rate` times as fast as the machine's: 3600 lets an hour pass in a second.

    `start` is its first time in unix seconds (the machine's time unless given). `source` and `nap`
    are the real clock and the real wait that it is built on, replaceable so that it can be tested.
    """

    def __init__(
        self,
        rate: float,
        *,
        start: float | None = None,
        source: Callable[[], float] = time.monotonic,
        nap: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 < rate < float("inf"):
            raise ValueError(f"a clock's rate must be positive and finite, not {rate!r}")
        self._rate = rate
        self._source = source
        self._nap = nap
        self._real_start = source()
        self._start = time.time() if start is None else start

    def now(self) -> float:
        """The scaled time in unix seconds."""
        return self._start + (self._source() - self._real_start) * self._rate

    def sleep(self, seconds: float) -> None:
        """Wait until `seconds` of scaled time have passed."""
        self._nap(max(0.0, seconds) / self._rate)


class VirtualClock:
    """A clock that moves only when told to: sleeping and advancing cost no real time."""

    def __init__(self, start: float = VIRTUAL_START) -> None:
        if not math.isfinite(start):
            raise ValueError(f"a clock cannot start at {start}")
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """The virtual time in unix seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds` at once."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises ValueError for a negative amount: time does not go back.

        Nor does it come to an end: an amount that is infinite or no number is refused too.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot go back by {-seconds} seconds")
        if not math.isfinite(seconds):
            raise ValueError(f"a clock cannot go on by {seconds} seconds")
        with self._lock:
            self._now += seconds

    def advance_to(self, moment: float) -> None:
        """Jump to `moment` (unix seconds). Raises ValueError for the past, and for no moment."""
        with self._lock:
            if moment < self._now:
                raise ValueError(f"a clock cannot go back from {self._now} to {moment}")
            if not math.isfinite(moment):
                raise ValueError(f"a clock cannot be put to {moment}")
            self._now = float(moment)
