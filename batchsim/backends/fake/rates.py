"""How many requests of a kind may come within a period."""

from __future__ import annotations

from collections import deque


class RateLimit:
    """At most `limit` requests within any `period` seconds. Refused requests do not count."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self._period = period
        self._times: deque[float] = deque()

    def wait(self, now: float) -> float:
        """How many seconds from `now` until another request may come; 0 when it may come now."""
        while self._times and self._times[0] <= now - self._period:
            self._times.popleft()
        if len(self._times) < self.limit:
            return 0.0
        return self._times[0] + self._period - now

    def count(self, now: float) -> None:
        """Note a request that was let through."""
        self._times.append(now)
