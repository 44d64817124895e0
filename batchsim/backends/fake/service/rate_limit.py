"""A limit on the requests of one kind within a period."""

from collections import deque
from collections.abc import Callable

from batchsim.errors import RateLimited


class RateLimit:
    """At most `limit` requests within any `period` seconds. Refused requests do not count."""

    def __init__(
        self, limit: int, period: float, refusal: Callable[[int, float], RateLimited]
    ) -> None:
        """`refusal` makes the error from the limit and the seconds until the next request."""
        self._limit = limit
        self._period = period
        self._refusal = refusal
        self._times: deque[float] = deque()

    def admit(self, now: float) -> None:
        while self._times and self._times[0] <= now - self._period:
            self._times.popleft()
        if len(self._times) >= self._limit:
            raise self._refusal(self._limit, self._times[0] + self._period - now)
        self.count(now)

    def count(self, now: float) -> None:
        """Count a request that was admitted before."""
        self._times.append(now)
