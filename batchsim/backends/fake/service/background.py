"""Work that takes long, and who does it when.

Theory of operation. To validate an input and answer its lines, or to write results, takes seconds
for a large batch. What comes of it depends on the batch alone, so it can be done at any time before
it is needed, by anyone. Each such piece of work is a Task; what a batch's next event needs is asked
for by `Tasks.result`.

`AtOnce` does a task when its result is asked for, in the thread that asks, so that every look sees
all that is due. `Background` has a thread of its own do the large ones, from the moment when it is
known that they will be needed, the one that is due first before the others. Who asks for a result
that is not there yet is told so (Unfinished), and can go on with something else or wait for it. The
thread touches nothing but what the task reads, and the contents that it writes; what comes of it is
recorded by who asks for it. So history is the same either way, and only seen later.

A thread leaves the second core idle. Two processes that examine the batches of a job of 200,000
lines instead, and hand back what they found, shorten it to 0.83x (median of 3, by CPU time along the
longest path): a virtual clock has nothing to do meanwhile, and the rest is the runner's own work.
That is too little for processes to start, feed and end, of 41 MB each.

A task that is not needed any more, its batch being cancelled or the service closed, is abandoned: it
ends at the next piece that it reads or writes.
"""

from __future__ import annotations

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


class Abandoned(Exception):
    """Raised inside a task whose result nobody wants any more."""


class Unfinished(Exception):
    """What was asked for is being done; `job` can be waited for."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.task.batch_id)
        self.job = job


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """What a batch needs done by a time.

    `subject` is all that the result depends on: tasks of one batch with equal subjects are the same.
    `due` is in unix seconds. `do` reads and writes the contents that it is given.
    """

    batch_id: str
    subject: tuple[Any, ...]
    due: float
    is_large: bool
    do: Callable[[Contents], Result]


class Tasks(ABC):
    """Does tasks, at most one for each batch. Used by one thread at a time."""

    @abstractmethod
    def begin(self, task: Task[Any]) -> None:
        """Have a task done in time, in the place of what was begun for its batch before."""

    @abstractmethod
    def result(self, task: Task[Result]) -> Result:
        """What came of a task, or what it raised; given once. Raises Unfinished when it is not done."""

    @abstractmethod
    def drop(self, batch_id: str) -> None:
        """Abandon what was begun for a batch."""

    @abstractmethod
    def close(self) -> None:
        """Abandon everything; nothing is under way any more when this returns."""


class AtOnce(Tasks):
    """Does a task when its result is asked for."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def begin(self, task: Task[Any]) -> None:
        """Wait until it is asked for."""

    def result(self, task: Task[Result]) -> Result:
        """Do it now."""
        return task.do(self._contents)

    def drop(self, batch_id: str) -> None:
        """Nothing was begun."""

    def close(self) -> None:
        """Nothing is under way."""


class Background(Tasks):
    """Has a thread do the large tasks, which is there only while there are any."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._jobs: dict[str, Job] = {}
        self._queue: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def begin(self, task: Task[Any]) -> None:
        """Have the thread do it when it is large."""
        if task.is_large and not self._is_closed:
            self._job(task)
        else:
            self.drop(task.batch_id)

    def result(self, task: Task[Result]) -> Result:
        """What the thread made of it when it is large; else do it now."""
        if self._is_closed or not task.is_large:
            return task.do(self._contents)
        job = self._job(task)
        if not job.is_over:
            raise Unfinished(job)
        del self._jobs[task.batch_id]  # when it failed, the next who asks has it tried again
        return cast("Result", job.result())

    def drop(self, batch_id: str) -> None:
        """Abandon what was begun for a batch."""
        job = self._jobs.pop(batch_id, None)
        if job is not None:
            job.abandon()

    def close(self) -> None:
        """Abandon everything, and wait for the thread to end."""
        self._is_closed = True
        for batch_id in list(self._jobs):
            self.drop(batch_id)
        thread = self._thread
        if thread is not None:
            thread.join()

    def _job(self, task: Task[Any]) -> Job:
        job = self._jobs.get(task.batch_id)
        if job is not None and job.task.subject == task.subject:
            return job
        self.drop(task.batch_id)
        job = self._jobs[task.batch_id] = Job(task)
        with self._lock:
            heapq.heappush(self._queue, (task.due, next(self._numbers), job))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="batchsim-tasks", daemon=True
                )
                self._thread.start()
        return job

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.carry_out(self._contents)

    def _next(self) -> Job | None:
        with self._lock:
            if self._queue:
                return heapq.heappop(self._queue)[2]
            self._thread = None
            return None


class Job:
    """A task on its way. Carried out in one thread, looked at and abandoned in others."""

    def __init__(self, task: Task[Any]) -> None:
        self.task = task
        self._is_abandoned = False
        self._over = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was done, has failed or was abandoned."""
        return self._over.is_set()

    def wait(self) -> None:
        """Return once it is over."""
        self._over.wait()

    def result(self) -> Any:
        """What came of it, or raise what went wrong. It must be over."""
        if self._error is not None:
            raise self._error
        return self._result

    def abandon(self) -> None:
        """Have it end soon, without a result."""
        self._is_abandoned = True
        self._over.set()

    def carry_out(self, contents: Contents) -> None:
        """Do the task, unless it is abandoned before its end."""
        try:
            self._go_on()
            self._result = self.task.do(_Watched(contents, self._go_on))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error
        finally:
            self._over.set()

    def _go_on(self) -> None:
        if self._is_abandoned:
            raise Abandoned


class _Watched:
    """Contents that ask before each piece that is read or written whether to go on."""

    def __init__(self, contents: Contents, go_on: Callable[[], None]) -> None:
        self._contents = contents
        self._go_on = go_on

    def open_content(self, key: str) -> BinaryIO:
        return _WatchedStream(self._contents.open_content(key), self._go_on)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        with self._contents.draft() as draft:
            yield _WatchedDraft(draft, self._go_on)


class _WatchedStream(io.BufferedReader):
    def __init__(self, stream: BinaryIO, go_on: Callable[[], None]) -> None:
        super().__init__(stream)  # type: ignore[arg-type]
        self._go_on = go_on

    def read(self, size: int | None = -1, /) -> bytes:
        self._go_on()
        return super().read(size)


class _WatchedDraft:
    def __init__(self, draft: Draft, go_on: Callable[[], None]) -> None:
        self._draft = draft
        self._go_on = go_on

    def write(self, data: bytes, /) -> None:
        self._go_on()
        self._draft.write(data)

    def keep(self, key: str) -> None:
        self._go_on()
        self._draft.keep(key)
