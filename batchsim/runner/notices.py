"""Word from outside that something happened to a batch, so that the runner looks at once.

Polling stays: a notice only brings the next look forward, so one that is lost, late, doubled or
about a batch of somebody else changes nothing but the time.
"""

from __future__ import annotations

import threading

from batchsim.clock import Clock

MOST = 10_000
"""So many untaken notices are kept; more would be an attack or a mistake."""


class Notices:
    """The ids of batches of which word came; safe to give from any thread."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._woken = threading.Event()

    def give(self, batch_id: str) -> None:
        """Something happened to that batch."""
        with self._lock:
            if len(self._ids) < MOST:
                self._ids.add(batch_id)
        self._woken.set()

    def take(self) -> set[str]:
        """The ids that came since the last call."""
        with self._lock:
            ids, self._ids = self._ids, set()
        return ids

    def waking(self, clock: Clock) -> Clock:
        """A real clock whose sleep ends early when word comes."""
        return _WakingClock(clock, self._woken)


class _WakingClock:
    def __init__(self, clock: Clock, woken: threading.Event) -> None:
        self._clock = clock
        self._woken = woken

    def now(self) -> float:
        """The time in unix seconds."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed, or when woken."""
        self._woken.wait(max(0.0, seconds))
        self._woken.clear()
