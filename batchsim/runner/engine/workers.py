"""Workers that upload and download side by side, while one thread owns journal and state.

Theory of operation. A worker performs one action. It sends the entries of each step to the loop,
and goes on once the loop has written them: so intents come before requests, and only the loop
writes. Workers do not create batches, so at most one create is under way. A virtual clock moves
only when the one thread that uses it sleeps; then there are no workers, and every run is the same.
"""

import queue
import threading
from typing import NamedTuple, Protocol, Self

from batchsim.clock import SystemClock, VirtualClock
from batchsim.runner.effects.context import JobContext
from batchsim.runner.engine.perform import perform
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.schedule.actions import Action, Download, ShardAction, Upload

ENDS_WITHIN = 2.0
"""Seconds that all workers together get to end when the loop ends."""


class _Record(Protocol):
    def __call__(self, *entries: Entry) -> None: ...


class _Message(NamedTuple):
    shard: int
    entries: tuple[Entry, ...]
    written: threading.Event | None
    """None in a worker's last message."""
    error: BaseException | None = None


class WorkerPool:
    def __init__(self, context: JobContext) -> None:
        self._context = context
        is_alone = isinstance(context.backend.clock, VirtualClock) or context.policy.parallel < 2
        self._size = 0 if is_alone else context.policy.parallel
        self._busy: dict[int, threading.Thread] = {}
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.stopping.set()
        clock = SystemClock()  # the threads are real, whatever time the backend lives by
        until = clock.steady() + ENDS_WITHIN
        for thread in self._busy.values():
            thread.join(max(0.0, until - clock.steady()))

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def has(self, action: Action) -> bool:
        """Return whether a worker has an action of the same shard."""
        return isinstance(action, ShardAction) and action.shard in self._busy

    def wants(self, action: Action) -> bool:
        return bool(self._size) and isinstance(action, Upload | Download)

    def start(self, action: ShardAction) -> bool:
        """Give the action to a worker. Return false when none is free."""
        if len(self._busy) >= self._size:
            return False
        thread = threading.Thread(
            target=self._perform, args=(action,), name=f"shard {action.shard}", daemon=True
        )
        self._busy[action.shard] = thread
        thread.start()
        return True

    def take(self, record: _Record, timeout: float) -> bool:
        """Record the next entries of any worker; false after `timeout`. Raises a worker's error."""
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return False
        if message.written is None:
            del self._busy[message.shard]
            if message.error is not None:
                raise message.error
        else:
            record(*message.entries)
            message.written.set()
        return True

    def _perform(self, action: ShardAction) -> None:
        error = None
        try:
            for entries in perform(self._context, action):
                written = threading.Event()
                self._messages.put(_Message(action.shard, entries, written))
                while not written.wait(0.1):
                    if self._context.stopping.is_set():
                        return
        except BaseException as caught:  # noqa: BLE001 - it is raised again where the loop runs
            error = caught
        self._messages.put(_Message(action.shard, (), None, error))
