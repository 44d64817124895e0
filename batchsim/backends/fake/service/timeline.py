"""The timeline of the service: its present time, at which all that is due has happened.

Theory of operation. Nothing runs between calls. Whoever enters the timeline holds its one lock, and
everything that has become due by the clock's time is applied first, each change at its own due time
(see transitions). Time never goes back: when a clock does, the service's time stands still until
the clock has caught up. There are two ways in:

1. `with timeline as now` is for calls that only look. Slow work may still be under way in the
   background (see background). Then what is due after it waits too, and the caller sees an earlier
   state.
2. `with timeline.caught_up() as now` is for calls that change something, or must know all. They
   first wait for the slow work, without the lock. So history never depends on how long work takes.

`later` delays an effect for which nobody waits any more. It takes place at its due time, between
the changes that are due before and after it.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from batchsim.backends.fake.execution import CurrentSettings
from batchsim.backends.fake.service.background import Future
from batchsim.backends.fake.service.transitions import Transitions
from batchsim.backends.fake.store import Records
from batchsim.clock import Clock
from batchsim.errors import BatchsimError


class Timeline:
    """A context manager whose value is the time of the call, in unix seconds."""

    def __init__(
        self, clock: Clock, settings: CurrentSettings, records: Records, transitions: Transitions
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._records = records
        self._transitions = transitions
        self._delayed = DelayedEffects()
        self._unfinished: Future | None = None
        self.lock = threading.RLock()  # for calls that look at the records without regard to time

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
        with self as now:
            return now

    @contextmanager
    def caught_up(self) -> Iterator[float]:
        """Enter once everything that is due has been applied (2)."""
        while True:
            with self as now:
                unfinished = self._unfinished
                if unfinished is None:
                    yield now
                    return
            unfinished.wait()

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Have `effect` happen that many seconds from now. A refusal that it raises is lost."""
        with self as now:
            self._delayed.schedule(now + seconds, effect)

    def sleep(self, seconds: float) -> None:
        """Keep a caller waiting, but not a delayed effect, which has had its time."""
        if seconds and self._delayed.moment is None:
            self._clock.sleep(seconds)

    def time(self) -> float:
        return self._clock.now() + self._settings.faults.clock_ahead_by

    def _advance(self) -> float:
        """Apply what is due, up to what is `_unfinished`, and return the time."""
        if self._delayed.moment is not None:
            return self._delayed.moment
        now = self._records.reach(self.time())
        advance = self._transitions.advance
        self._unfinished = None
        self._unfinished = self._delayed.apply(now, advance) or advance(now)
        return now


class DelayedEffects:
    """Effects with their due times. Used by one thread at a time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self.moment: float | None = None  # the due time of the effect that is taking place now

    def schedule(self, due: float, effect: Callable[[], object]) -> None:
        heapq.heappush(self._waiting, (due, next(self._numbers), effect))

    def apply(self, now: float, advance: Callable[[float], Future | None]) -> Future | None:
        """Apply the effects that are due by `now`. `advance` first leads to the time of each.

        When `advance` waits for a Future, the effects wait too, and the Future is returned.
        """
        while self._waiting and self._waiting[0][0] <= now:
            unfinished = advance(self._waiting[0][0])
            if unfinished is not None:
                return unfinished
            self.moment, _, effect = heapq.heappop(self._waiting)
            try:
                with suppress(BatchsimError):  # nobody is there for a refusal
                    effect()
            finally:
                self.moment = None
        return None
