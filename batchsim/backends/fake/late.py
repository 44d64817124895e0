"""What was asked for and takes effect only later, when nobody waits for it any more."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from contextlib import suppress

from batchsim.backends.fake.tasks import Job
from batchsim.errors import BatchsimError


class LateEffects:
    """Effects with their due times. One thread at a time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self.moment: float | None = None
        """The due time of the effect that is taking place now."""

    def plan(self, due: float, effect: Callable[[], object]) -> None:
        """Have `effect` take place at `due`."""
        heapq.heappush(self._waiting, (due, next(self._numbers), effect))

    def is_due(self, now: float) -> bool:
        """Whether anything is to take place by `now`."""
        return bool(self._waiting) and self._waiting[0][0] <= now

    def apply(self, now: float, advance: Callable[[float], Job | None]) -> Job | None:
        """Have all that is due by `now` take place, each at its due time, to which `advance` leads.

        When `advance` does not get there, the rest waits too; what it then says is the value.
        """
        while self._waiting and self._waiting[0][0] <= now:
            unfinished = advance(self._waiting[0][0])
            if unfinished is not None:
                return unfinished
            self.moment, _, effect = heapq.heappop(self._waiting)
            try:
                with suppress(BatchsimError):  # a refusal has nobody to go to
                    effect()
            finally:
                self.moment = None
        return None
