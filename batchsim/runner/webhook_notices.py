"""Notices from outside that a batch has changed, so that the runner polls it at once.

A notice only brings the next poll forward. One that is lost, late, doubled or about a foreign batch
changes nothing else.
"""

import threading

from batchsim.clock import Clock

MOST = 10_000
"""So many notices are kept until they are taken; more would be an attack or a mistake."""


class Notices:
    """The ids of batches that have changed; any thread may give some."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._woken = threading.Event()

    def give(self, batch_id: str) -> None:
        with self._lock:
            if len(self._ids) < MOST:
                self._ids.add(batch_id)
        self._woken.set()

    def take(self) -> set[str]:
        """Return the ids that came since the last call."""
        with self._lock:
            ids, self._ids = self._ids, set()
        return ids

    def waking(self, clock: Clock) -> Clock:
        """Return a real clock whose sleep ends when a notice comes."""
        return _WakingClock(clock, self._woken)


class _WakingClock:
    def __init__(self, clock: Clock, woken: threading.Event) -> None:
        self._clock = clock
        self._woken = woken

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self._woken.wait(max(0.0, seconds))
        self._woken.clear()
