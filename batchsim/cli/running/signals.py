"""Signals while a job runs: stop soon, but not between a create and its record in the journal.

Theory of operation. A signal may come at any moment, and nearly everywhere the run may simply end:
its journal is on disk, and the same command continues. The one exception is a create under way.
Its answer is worth waiting for, since a batch without a known answer has to be looked for later.
So the backend is wrapped: from the create until the runner has recorded its outcome, a first
signal is only remembered, and the run ends when the record is made, or after PATIENCE seconds. A
second signal ends the process at once, wherever it is.
"""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

from batchsim.backends import Backend
from batchsim.cli.terminal.exit_codes import INTERRUPTED
from batchsim.cli.terminal.process import SIGNALS
from batchsim.domain.batches import Batch

PATIENCE = 60.0
"""Seconds that a create under way may take after the first signal: as long as its time-outs."""

_SHOW_CURSOR = "\x1b[?25h"


class Stopping:
    """Handles the signals of one run. `leave` ends the process at once with an exit code."""

    def __init__(
        self, *, patience: float = PATIENCE, leave: Callable[[int], object] = os._exit
    ) -> None:
        self._patience = patience
        self._leave = leave
        self._creating = 0
        self._answered = 0
        self._is_asked = False
        self._has_raised = False
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let signals stop the run while the block lasts; one that is ignored stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        before = {
            number: signal.signal(number, self._on_signal)
            for number in numbers
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def guarded(self, backend: Backend) -> Backend:
        """Return the backend with creates that a first signal lets finish."""
        return cast(Backend, _Guarded(backend, self))

    def recorded(self) -> None:
        """Stop here if a signal asked for it: the runner has written the journal."""
        with self._lock:
            self._creating -= self._answered
            self._answered = 0
        if self._is_asked and not self._has_raised and not self._creating:
            self._interrupt()

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Count a create as under way during the block, and until it is recorded."""
        with self._lock:
            self._creating += 1
        try:
            yield
        finally:
            with self._lock:
                self._answered += 1

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_asked:
            self._leave_at_once()
            return
        self._is_asked = True
        if not self._creating:
            self._interrupt()
        text = "stopping once the batch that was just asked for is recorded; again stops at once"
        os.write(2, f"\n{text}\n".encode())  # printing could be what was interrupted
        self._timer = threading.Timer(self._patience, _interrupt_main)
        self._timer.daemon = True
        self._timer.start()

    def _interrupt(self) -> None:
        self._has_raised = True
        raise KeyboardInterrupt

    def _leave_at_once(self) -> None:
        text = "stopped at once; the same command looks at what became of the last request"
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        os.write(2, f"{cursor}\n{text}\n".encode())
        self._leave(INTERRUPTED)


def _interrupt_main() -> None:
    """Send a signal to the main thread, even where it waits for an answer."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


class _Guarded:
    def __init__(self, inner: Backend, stopping: Stopping) -> None:
        self._inner = inner
        self._stopping = stopping

    def create_batch(self, **options: Any) -> Batch:
        with self._stopping.creating():
            return self._inner.create_batch(**options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
