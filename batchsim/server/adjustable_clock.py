"""The clock of a server, which tests can advance."""

import threading

from batchsim.clock import Clock


class AdjustableClock:
    """A clock that runs like `base` and can be advanced, never set back."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._base.now() + self._ahead

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of the base's time. Advancing the clock does not shorten this."""
        self._base.sleep(seconds)

    def advance(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"a clock cannot go back by {-seconds} seconds")
        with self._lock:
            self._ahead += seconds

    def advance_to(self, moment: float) -> None:
        """Advance the clock to `moment` (unix seconds). Raises ValueError when it has passed."""
        with self._lock:
            behind = moment - self.now()
            if not behind >= 0:
                raise ValueError(f"a clock cannot go back by {-behind} seconds")
            self._ahead += behind
