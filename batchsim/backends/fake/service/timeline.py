"""The present of the service: what time it is, with all that is due having happened.

Theory of operation. Nothing runs between calls. Whoever enters the present holds the one lock, and
finds that all that has become due by the clock's time has been applied, each thing stamped with the
time at which it was due (see progress). Time never goes back: a clock that does is taken to stand
still until it has caught up.

Some of what is due may take long, and then be under way in the background (see tasks). Who only
looks goes on without it, and sees what is so by then; who changes something that time could change
too, or must know all, waits for it first, without the lock. So what happens never depends on how
long the work takes, but only when it is seen.

What was asked for and takes effect only later, when nobody waits for it any more.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from batchsim.backends.fake.execution.settings import CurrentBehaviour
from batchsim.backends.fake.service.background import Job
from batchsim.backends.fake.service.transitions import Progress
from batchsim.backends.fake.store.records import Records
from batchsim.clock import Clock
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


Value = TypeVar("Value")


class Present:
    """To be entered by who looks; the value is the time of the call, in unix seconds."""

    def __init__(
        self, clock: Clock, behaviour: CurrentBehaviour, records: Records, progress: Progress
    ) -> None:
        self._clock = clock
        self._behaviour = behaviour
        self._records = records
        self._progress = progress
        self._late = LateEffects()
        self._unfinished: Job | None = None
        self.lock = threading.RLock()
        """For who looks at the records without regard to time."""

    def __enter__(self) -> float:
        self.lock.acquire()
        try:
            return self._advance()
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def now(self) -> float:
        """The time, for who has nothing else to do in the present."""
        with self as now:
            return now

    @contextmanager
    def caught_up(self) -> Iterator[float]:
        """For who must find all applied that is due, and may have to wait for it; as entering it."""
        while True:
            with self as now:
                unfinished = self._unfinished
                if unfinished is None:
                    yield now
                    return
            unfinished.wait()

    def at_once(self, identifier: str, look: Callable[[str, float], Value | None]) -> Value | None:
        """What `look` makes of that id and of the time, if nobody has to wait for it (see Prompt)."""
        if not self.lock.acquire(blocking=False):
            return None
        try:
            now = until = self._records.note_time(self.time())
            if self._unfinished is not None and not self._unfinished.is_over:
                until = -math.inf  # until that is over, nothing happens that would take time
            is_idle = not self._late.is_due(until) and self._progress.is_idle(identifier, until)
            return look(identifier, now) if is_idle else None
        finally:
            self.lock.release()

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Have `effect` happen that many seconds from now; what it raises is lost."""
        with self as now:
            self._late.plan(now + seconds, effect)

    def sleep(self, seconds: float) -> None:
        """Keep a caller waiting, unless its call comes late: then it has had its time."""
        if seconds and self._late.moment is None:
            self._clock.sleep(seconds)

    def time(self) -> float:
        """What the service's own clock says, in unix seconds."""
        return self._clock.now() + self._behaviour.faults.clock_ahead_by

    def _advance(self) -> float:
        """Apply what is due, up to what is `_unfinished`, if anything is; the time."""
        if self._late.moment is not None:
            return self._late.moment
        now = self._records.note_time(self.time())
        advance = self._progress.advance
        self._unfinished = None
        self._unfinished = self._late.apply(now, advance) or advance(now)
        return now
