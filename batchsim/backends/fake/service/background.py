"""Workers: the slow work of batches, done at once or by a thread.

Theory of operation. Validating a large input and answering its lines takes seconds, and so does
writing many results. The outcome depends on the batch alone, so the work can be done at any time
before it is needed, by anyone. Each such piece of work is a Task. The next event of a batch asks
for the result by `Worker.result`.

`InlineWorker` does a task when its result is asked for, in the thread that asks. So every look sees
all that is due. `BackgroundWorker` has a thread do the large tasks as soon as they are known to be
needed, the one that is due first before the others. If a result is not ready, NotReady is raised,
and the caller may go on with something else or wait. The thread touches nothing but what the task
reads, and the contents that it writes. The caller who gets the result records it. So history is the
same either way, and is only seen later.

A cancelled task ends at the next piece that it reads or writes: its batch was cancelled, or the
service was closed.

One thread leaves the second core idle. With two processes instead, a job of 200,000 lines takes
0.83x of the time (median of 3, by CPU time along the longest path): a virtual clock has nothing to
do meanwhile, and the rest is the runner's own work. That is too little for processes of 41 MB each,
which must be started, fed and ended.
"""

import heapq
import io
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar, cast

from batchsim.stores import Contents, Draft

Result = TypeVar("Result")


class TaskCancelled(Exception):
    """Raised inside a task whose result is not needed any more."""


class NotReady(Exception):
    """The result that was asked for is on its way; `future` can be waited for."""

    def __init__(self, future: "Future") -> None:
        super().__init__(future.task.batch_id)
        self.future = future


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """Work that a batch needs done by the time `due`, in unix seconds.

    The result depends on `subject` alone: tasks of one batch with equal subjects are the same.
    `do` reads and writes the contents that it is given.
    """

    batch_id: str
    subject: tuple[Any, ...]
    due: float
    is_large: bool
    do: Callable[[Contents], Result]


class Worker(ABC):
    """Does tasks, at most one for each batch. Used by one thread at a time."""

    @abstractmethod
    def start(self, task: Task[Any]) -> None:
        """Have a task done in time. It replaces the batch's task before it."""

    @abstractmethod
    def result(self, task: Task[Result]) -> Result:
        """Return the result of a task once, or raise its error or NotReady."""

    @abstractmethod
    def cancel(self, batch_id: str) -> None:
        """Cancel the task of a batch, if there is one."""

    @abstractmethod
    def close(self) -> None:
        """Cancel every task, and return when none is running."""


class InlineWorker(Worker):
    """Does a task when its result is asked for."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def start(self, task: Task[Any]) -> None:
        """Do nothing yet."""

    def result(self, task: Task[Result]) -> Result:
        return task.do(self._contents)

    def cancel(self, batch_id: str) -> None:
        """Do nothing: no task was started."""

    def close(self) -> None:
        """Do nothing: no task is running."""


class BackgroundWorker(Worker):
    """Has a thread do the large tasks. The thread exists only while there are any."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._futures: dict[str, Future] = {}
        self._queue: list[tuple[float, int, Future]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def start(self, task: Task[Any]) -> None:
        if task.is_large and not self._is_closed:
            self._future(task)
        else:
            self.cancel(task.batch_id)

    def result(self, task: Task[Result]) -> Result:
        if self._is_closed or not task.is_large:
            return task.do(self._contents)
        future = self._future(task)
        if not future.is_done:
            raise NotReady(future)
        del self._futures[task.batch_id]  # after an error the next caller has it tried again
        return cast("Result", future.result())

    def cancel(self, batch_id: str) -> None:
        future = self._futures.pop(batch_id, None)
        if future is not None:
            future.cancel()

    def close(self) -> None:
        self._is_closed = True
        for batch_id in list(self._futures):
            self.cancel(batch_id)
        thread = self._thread
        if thread is not None:
            thread.join()

    def _future(self, task: Task[Any]) -> "Future":
        future = self._futures.get(task.batch_id)
        if future is not None and future.task.subject == task.subject:
            return future
        self.cancel(task.batch_id)
        future = self._futures[task.batch_id] = Future(task)
        with self._lock:
            heapq.heappush(self._queue, (task.due, next(self._numbers), future))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="batchsim-worker", daemon=True
                )
                self._thread.start()
        return future

    def _work(self) -> None:
        while (future := self._next()) is not None:
            future.run(self._contents)

    def _next(self) -> "Future | None":
        with self._lock:
            if self._queue:
                return heapq.heappop(self._queue)[2]
            self._thread = None
            return None


class Future:
    """The result of a task in the thread. Run in one thread, read and cancelled in others."""

    def __init__(self, task: Task[Any]) -> None:
        self.task = task
        self._is_cancelled = False
        self._done = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """True if the task has succeeded, has failed or was cancelled."""
        return self._done.is_set()

    def wait(self) -> None:
        self._done.wait()

    def result(self) -> Any:
        """Return the result, or raise the error, of a task that is done."""
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Have the task end soon, without a result."""
        self._is_cancelled = True
        self._done.set()

    def run(self, contents: Contents) -> None:
        try:
            self._check()
            self._result = self.task.do(_CheckedContents(contents, self._check))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error
        finally:
            self._done.set()

    def _check(self) -> None:
        if self._is_cancelled:
            raise TaskCancelled


class _CheckedContents:
    """Contents that call `check` before each piece that is read or written."""

    def __init__(self, contents: Contents, check: Callable[[], None]) -> None:
        self._contents = contents
        self._check = check

    def open_content(self, key: str) -> BinaryIO:
        return _CheckedStream(self._contents.open_content(key), self._check)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        with self._contents.draft() as draft:
            yield _CheckedDraft(draft, self._check)


class _CheckedStream(io.BufferedReader):
    def __init__(self, stream: BinaryIO, check: Callable[[], None]) -> None:
        super().__init__(stream)  # type: ignore[arg-type]
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)


class _CheckedDraft:
    def __init__(self, draft: Draft, check: Callable[[], None]) -> None:
        self._draft = draft
        self._check = check

    def write(self, data: bytes, /) -> None:
        self._check()
        self._draft.write(data)

    def keep(self, key: str) -> None:
        self._check()
        self._draft.keep(key)
