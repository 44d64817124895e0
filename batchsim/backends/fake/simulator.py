"""The service: the Batch API as methods, with nothing between it and who asks.

Theory of operation. Nothing runs between calls. Every call first applies all that has become due
by the clock's time (see progress), each thing stamped with the time at which it was due, and then
does its own work. One lock makes calls whole. Time never goes back: a clock that does is taken to
stand still until it has caught up.

Some of what is due may take long, and then be under way in the background (see tasks). A look goes
on without it and shows what is so by then; a call that changes something that time could change
too, or must tell all, waits for it first, without the lock. So what happens never depends on how
long the work takes, but only when it is seen.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, TypeVar

from batchsim.backends import Backend, Page
from batchsim.backends.fake.behaviour import Behaviour, CurrentBehaviour, check_own_scenario
from batchsim.backends.fake.faults import Faults
from batchsim.backends.fake.history import History, history_of
from batchsim.backends.fake.ids import batch_id, file_id
from batchsim.backends.fake.late import LateEffects
from batchsim.backends.fake.progress import Progress
from batchsim.backends.fake.rates import RateLimit
from batchsim.backends.fake.records import BatchRecord, FileRecord, Records
from batchsim.backends.fake.requests import RequestJournal
from batchsim.backends.fake.synchronous import Synchronous
from batchsim.backends.fake.tasks import AtOnce, Background, Job
from batchsim.backends.fake.uploads import LARGEST_FILE, PIECE, receive
from batchsim.backends.fake.view import View
from batchsim.clock import VIRTUAL_START, Clock, VirtualClock
from batchsim.domain import refusals
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.domain.files import File, Purpose
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR
from batchsim.domain.parameters import (
    check_creation,
    check_lifetime,
    check_limit,
    check_page,
    check_purpose,
    check_request,
    check_text,
)
from batchsim.responders import Answer
from batchsim.stores import Store

Value = TypeVar("Value")

UNREADABLE = (Purpose.USER_DATA, Purpose.ASSISTANTS)
"""The purposes whose files cannot be read back (observed)."""


class Simulator(Backend):
    """The service behind a FakeBackend: what is asked of it here never goes wrong on its way.

    `now` and what is stamped are the time of the service's own clock, which may be ahead of `clock`.
    """

    service = "the simulator"

    def __init__(
        self,
        behaviour: Behaviour,
        store: Store,
        clock: Clock | None,
        *,
        in_background: bool = False,
    ) -> None:
        self._behaviour = CurrentBehaviour(behaviour)
        self._draws = behaviour.draws
        self._pacing = behaviour.pacing
        self._limits = behaviour.limits
        self._store = store
        self._records = Records(store)
        latest = self._records.latest
        ahead = behaviour.faults.clock_ahead_by
        self.clock = clock or VirtualClock(VIRTUAL_START if latest is None else latest - ahead)
        self._lock = threading.RLock()
        self._uploads = RateLimit(self._limits.uploads_per_minute, 60)
        self._creations = RateLimit(self._limits.batches_per_hour, HOUR)
        for record in self._records.batches.values():
            self._creations.count(record.batch.created_at)
        tasks = Background(store) if in_background else AtOnce(store)
        self._progress = Progress(self._records, self._store, self._behaviour, tasks)
        self._unfinished: Job | None = None
        self._view = View(self._records, self._progress, self._behaviour)
        self._synchronous = Synchronous(behaviour)
        self._late = LateEffects()

    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
        request_id: str | None = None,  # noqa: ARG002 - the service makes nothing of it
    ) -> File:
        """See Backend. Checked here: purpose, name, size, UTF-8, and JSON on the first line."""
        check_purpose(purpose, filename)
        check_lifetime("expires_after", expires_after, self._limits)
        self._admit_upload()
        is_input = purpose == Purpose.BATCH
        most = self._limits.input_file_bytes if is_input else LARGEST_FILE
        with self._store.draft() as draft:
            size = receive(content, draft, most, purpose)
            self._keep_waiting(self._pacing.upload)
            with self._lock:
                now = self._advance()
                if expires_after is None and is_input:
                    expires_after = self._limits.file_lifetime
                file = File(
                    id=file_id(self._draws, "upload", self._records.uploads),
                    purpose=purpose,
                    filename=filename,
                    bytes=size,
                    created_at=int(now),
                    expires_at=None if expires_after is None else int(now) + expires_after,
                )
                draft.keep(file.id)
                record = FileRecord(file=file, created=now)
                self._records.uploads += 1
                self._records.save(now, files=[record])
                self._progress.plan_file(record)
                return self._view.file(record, now)

    def retrieve_file(self, file_id: str) -> File:
        """See Backend."""
        check_text("file_id", file_id)
        with self._lock:
            now = self._advance()
            return self._view.file(self._view.find_file(file_id, now), now)

    def list_files(
        self,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page[File]:
        """See Backend. Raises NotFound when there is no file `after` (inferred)."""
        check_page(after, purpose)
        check_limit(limit, self._limits.files_per_page)
        if order not in ("asc", "desc"):
            raise refusals.unknown_order(order)
        with self._lock:
            now, newest_first = self._advance(), order == "desc"
            return self._view.files(
                purpose=purpose, limit=limit, after=after, newest_first=newest_first, now=now
            )

    def delete_file(self, file_id: str) -> None:
        """See Backend."""
        check_text("file_id", file_id)
        with self._caught_up() as now:
            self._records.file(file_id)
            self._progress.remove_file(file_id, now)

    def read_file(self, file_id: str) -> Iterator[bytes]:
        """See Backend. Files for assistants and of user data are refused (observed)."""
        check_text("file_id", file_id)
        with self._lock:
            record = self._view.find_file(file_id, self._advance())
            if record.file.purpose in UNREADABLE:
                raise refusals.not_downloadable(record.file.purpose)
            stream = self._store.open_content(file_id)
        with stream:
            per_line = self._pacing.download_per_line * record.lines
            self._keep_waiting(self._pacing.download + int(per_line))
            while block := stream.read(PIECE):
                yield block

    def create_batch(
        self,
        *,
        input_file_id: str,
        endpoint: str,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
        request_id: str | None = None,  # noqa: ARG002 - the service makes nothing of it
    ) -> Batch:
        """See Backend. An input file that does not exist fails the batch later (observed)."""
        check_creation(input_file_id, endpoint, completion_window, metadata, self._limits)
        check_lifetime("output_expires_after", output_expires_after, self._limits)
        check_own_scenario(metadata)
        with self._lock:
            now = self._advance()
            self._view.check_input_file(input_file_id, now)
            if wait := self._creations.wait(now):
                raise refusals.too_many_batches(self._creations.limit, wait)
            self._creations.count(now)
            number = len(self._records.batches)
            batch = Batch(
                id=batch_id(self._draws, number, now),
                endpoint=endpoint,
                input_file_id=input_file_id,
                completion_window=completion_window,
                created_at=int(now),
                expires_at=int(now) + self._limits.completion_window,
                metadata=None if metadata is None else dict(metadata),
            )
            record = BatchRecord(
                batch=batch, number=number, since=now, output_expires_after=output_expires_after
            )
            self._records.save(now, batch=record)
            self._progress.plan_batch(record)
        return batch

    def retrieve_batch(self, batch_id: str) -> Batch:
        """See Backend. An id that does not begin with `batch` is refused (observed)."""
        check_text("batch_id", batch_id)
        with self._lock:
            now = self._advance()
            return self._view.batch(self._view.find_batch(batch_id, now), now)

    def cancel_batch(self, batch_id: str) -> Batch:
        """See Backend. Cancelling while results are written is allowed (inferred)."""
        check_text("batch_id", batch_id)
        with self._caught_up() as now:
            record = self._view.find_batch(batch_id, now)
            status = record.batch.status
            if status in (Status.CANCELLING, Status.CANCELLED):
                return self._view.batch(record, now)
            if status.is_terminal:
                raise refusals.cannot_cancel(status)
            return self._view.batch(self._progress.cancel(record, now), now)

    def list_batches(self, *, limit: int = 20, after: str | None = None) -> Page[Batch]:
        """See Backend. Raises NotFound when there is no batch `after` (inferred)."""
        check_page(after)
        check_limit(limit, self._limits.batches_per_page)
        with self._lock:
            return self._view.batches(limit=limit, after=after, now=self._advance())

    def at_once(self, identifier: str, look: Callable[[], Value]) -> Value | None:
        """See Prompt."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            now = self._records.note_time(self.time())
            if self._unfinished is not None and not self._unfinished.is_over:
                now = -math.inf  # until that is over, nothing happens that would take time
            is_idle = not self._late.is_due(now) and self._progress.is_idle(identifier, now)
            return look() if is_idle else None
        finally:
            self._lock.release()

    def set_faults(self, faults: Faults) -> None:
        """Let other things go wrong from now on. A batch that is running its lines keeps its own."""
        with self._caught_up():
            self._behaviour.faults = faults

    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """See FakeBackend."""
        check_request(url, body)
        if url not in ENDPOINTS:
            raise refusals.unknown_url("POST", url)
        with self._lock:
            now = self._advance()
        return self._synchronous.answer(url, body, now)

    def kind_of_file(self, identifier: str) -> str | None:
        """Whether it is the "output" or "error" file of a batch, or another: "input"; None without one."""
        with self._lock:
            record = self._records.files.get(identifier)
            return None if record is None else record.kind

    def scenario_about(self, identifier: str) -> str | None:
        """The scenario of its own that a batch lives in; `identifier` is its id or a result file's."""
        with self._lock:
            record = self._records.batch_about(identifier)
            return None if record is None else self._behaviour.scenario_of(record)

    def take_ended(self) -> tuple[Batch, ...]:
        """The batches that have ended since the last call, in the order in which they ended.

        Only those that ended in this process: who must not miss any asks before it closes.
        """
        with self._lock:
            now = self._advance()
            ended = self._progress.take_ended()
            return tuple(
                self._view.batch(self._records.batches[identifier], now) for identifier in ended
            )

    def all_batches(self) -> list[Batch]:
        """Every batch as it is now, oldest first, whether a list would show it or not."""
        with self._caught_up() as now:
            return [self._view.batch(each, now) for each in self._records.batches.values()]

    def all_files(self) -> list[File]:
        """Every file as it is now, oldest first, whether a list would show it or not."""
        with self._caught_up():
            return [each.file for each in self._records.files.values()]

    def history(self, requests: RequestJournal) -> History:
        """What came of those requests by now."""
        with self._caught_up() as now:
            return history_of(self._records, requests, self._limits, now)

    def catch_up(self) -> None:
        """Wait for what is due by now and still under way in the background, if anything is."""
        with self._caught_up():
            return

    def close(self) -> None:
        """Forget what is running and close the store. A second call does nothing."""
        with self._lock:
            self._progress.close()
            self._store.close()

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Have `effect`, a call of a method here, happen that many seconds from now.

        What it raises is lost. It does not outlive the process.
        """
        with self._lock:
            self._late.plan(self._advance() + seconds, effect)

    def time(self) -> float:
        """What the service's own clock says, in unix seconds."""
        return self.clock.now() + self._behaviour.faults.clock_ahead_by

    def _advance(self) -> float:
        """Apply what is due, all but what is `_unfinished` and comes after that; the time of this call."""
        if self._late.moment is not None:
            return self._late.moment
        now = self._records.note_time(self.time())
        self._unfinished = None
        self._unfinished = self._late.apply(now, self._progress.advance) or self._progress.advance(
            now
        )
        return now

    @contextmanager
    def _caught_up(self) -> Iterator[float]:
        """Hold the lock once all that is due is applied; the time of this call."""
        while True:
            with self._lock:
                now = self._advance()
                unfinished = self._unfinished
                if unfinished is None:
                    yield now
                    return
            unfinished.wait()

    def _keep_waiting(self, seconds: float) -> None:
        if seconds and self._late.moment is None:  # else it has had its time
            self.clock.sleep(seconds)

    def _admit_upload(self) -> None:
        with self._lock:
            now = self._advance()
            if wait := self._uploads.wait(now):
                raise refusals.too_many_uploads(self._uploads.limit, wait)
            self._uploads.count(now)
