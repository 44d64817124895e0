"""Simulator: the Batch API as methods, without faults of requests.

Theory of operation. A call first checks its arguments. Then it enters the timeline, where
everything that has become due by now has happened, and does its own work there: it looks at the
records through the view, or changes them and schedules what follows (see transitions).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Literal

from batchsim.backends import Backend, Page, Reception
from batchsim.backends.fake.behaviour import Faults
from batchsim.backends.fake.execution import (
    CurrentSettings,
    Settings,
    check_own_scenario,
    open_input,
)
from batchsim.backends.fake.ids import batch_id
from batchsim.backends.fake.log import History, RequestLog, history_of
from batchsim.backends.fake.service.background import BackgroundWorker, InlineWorker
from batchsim.backends.fake.service.file_upload import PIECE, Uploads
from batchsim.backends.fake.service.rate_limit import RateLimit
from batchsim.backends.fake.service.single_requests import SingleRequests
from batchsim.backends.fake.service.timeline import Timeline
from batchsim.backends.fake.service.transitions import Transitions
from batchsim.backends.fake.service.view import View
from batchsim.backends.fake.store import BatchRecord, Records
from batchsim.clock import VIRTUAL_START, Clock, VirtualClock
from batchsim.domain import parameter_checks, refusals
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.domain.files import File
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR
from batchsim.stores import Store


class Simulator(Backend):
    """The service behind a FakeBackend. Requests made here never go wrong on their way.

    Its times and time stamps come from the service's own clock, which may be ahead of `clock`.
    """

    service = "the simulator"

    def __init__(
        self, settings: Settings, store: Store, clock: Clock | None, *, in_background: bool = False
    ) -> None:
        self._settings = CurrentSettings(settings)
        self._draws = settings.draws
        self._pacing = settings.pacing
        self._limits = settings.limits
        self._store = store
        self._records = Records(store)
        latest = self._records.latest
        ahead = settings.faults.clock_ahead_by
        self.clock = clock or VirtualClock(VIRTUAL_START if latest is None else latest - ahead)
        limits = self._limits
        self._creations = RateLimit(limits.batches_per_hour, HOUR, refusals.too_many_batches)
        for record in self._records.batches.values():
            self._creations.count(record.batch.created_at)
        worker = BackgroundWorker(store) if in_background else InlineWorker(store)
        self._transitions = Transitions(self._records, self._store, self._settings, worker)
        self._timeline = Timeline(self.clock, self._settings, self._records, self._transitions)
        self._view = View(self._records, self._transitions, self._settings)
        self._uploads = Uploads(
            settings, store, self._records, self._transitions, self._timeline, self._view
        )
        self._single_requests = SingleRequests(settings)

    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
        request_id: str | None = None,  # noqa: ARG002 - the service ignores it
    ) -> File:
        """See Backend. Checked here: purpose, name, size, UTF-8, and JSON on the first line."""
        return self._uploads.upload(content, filename, purpose, expires_after)

    def receiving(self) -> AbstractContextManager[Reception]:
        """See Receives. The checks are those of `upload_file`, most of them at the end."""
        return self._uploads.receiving()

    def retrieve_file(self, file_id: str) -> File:
        parameter_checks.check_text("file_id", file_id)
        with self._timeline as now:
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
        parameter_checks.check_page(after, purpose)
        parameter_checks.check_limit(limit, self._limits.files_per_page)
        if order not in ("asc", "desc"):
            raise refusals.unknown_order(order)
        newest_first = order == "desc"
        with self._timeline as now:
            return self._view.files(
                purpose=purpose, limit=limit, after=after, newest_first=newest_first, now=now
            )

    def delete_file(self, file_id: str) -> None:
        parameter_checks.check_text("file_id", file_id)
        with self._timeline.caught_up() as now:
            self._records.file(file_id)
            self._transitions.remove_file(file_id, now)

    def read_file(self, file_id: str) -> Iterator[bytes]:
        """See Backend. Files for assistants and of user data are refused (observed)."""
        parameter_checks.check_text("file_id", file_id)
        with self._timeline as now:
            record = self._view.find_readable(file_id, now)
            stream = open_input(self._store, file_id)
        with stream:
            per_line = self._pacing.download_per_line * record.lines
            self._timeline.sleep(self._pacing.download + int(per_line))
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
        request_id: str | None = None,  # noqa: ARG002 - the service ignores it
    ) -> Batch:
        """See Backend. An input file that does not exist fails the batch later (observed)."""
        parameter_checks.check_creation(
            input_file_id, endpoint, completion_window, metadata, self._limits
        )
        parameter_checks.check_lifetime("output_expires_after", output_expires_after, self._limits)
        check_own_scenario(metadata)
        with self._timeline as now:
            self._view.check_input_file(input_file_id, now)
            self._creations.admit(now)
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
            self._transitions.schedule_batch(record)
        return batch

    def retrieve_batch(self, batch_id: str) -> Batch:
        """See Backend. An id that does not begin with `batch` is refused (observed)."""
        parameter_checks.check_text("batch_id", batch_id)
        with self._timeline as now:
            return self._view.batch(self._view.find_batch(batch_id, now), now)

    def cancel_batch(self, batch_id: str) -> Batch:
        """See Backend. Cancelling while results are written is allowed (inferred)."""
        parameter_checks.check_text("batch_id", batch_id)
        with self._timeline.caught_up() as now:
            record = self._view.find_batch(batch_id, now)
            status = record.batch.status
            if status in (Status.CANCELLING, Status.CANCELLED):
                return self._view.batch(record, now)
            if status.is_terminal:
                raise refusals.cannot_cancel(status)
            return self._view.batch(self._transitions.cancel(record, now), now)

    def list_batches(self, *, limit: int = 20, after: str | None = None) -> Page[Batch]:
        """See Backend. Raises NotFound when there is no batch `after` (inferred)."""
        parameter_checks.check_page(after)
        parameter_checks.check_limit(limit, self._limits.batches_per_page)
        with self._timeline as now:
            return self._view.batches(limit=limit, after=after, now=now)

    def set_faults(self, faults: Faults) -> None:
        with self._timeline.caught_up():
            self._settings.faults = faults

    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """See Answers. The responder of the lines answers, with an empty custom_id.

        Several threads may ask a user's responder at once.
        """
        parameter_checks.check_request(url, body)
        if url not in ENDPOINTS:
            raise refusals.unknown_url("POST", url)
        return self._single_requests.answer(url, body, self._timeline.now())

    def kind_of_file(self, identifier: str) -> str | None:
        """Return "output" or "error" for a result file, "input" for another, None for no file."""
        with self._timeline.lock:
            record = self._records.files.get(identifier)
            return None if record is None else record.kind

    def scenario_about(self, identifier: str) -> str | None:
        """Return the own scenario of a batch, given its id or the id of a result file."""
        with self._timeline.lock:
            record = self._records.batch_about(identifier)
            return None if record is None else self._settings.scenario_of(record)

    def take_ended(self) -> tuple[Batch, ...]:
        with self._timeline as now:
            ended = self._transitions.take_ended()
            return tuple(
                self._view.batch(self._records.batches[identifier], now) for identifier in ended
            )

    def all_batches(self) -> list[Batch]:
        """Return every batch as it is now, oldest first, hidden ones included."""
        with self._timeline.caught_up() as now:
            return [self._view.batch(each, now) for each in self._records.batches.values()]

    def all_files(self) -> list[File]:
        """Return every file as it is now, oldest first, hidden ones included."""
        with self._timeline.caught_up():
            return [each.file for each in self._records.files.values()]

    def history(self, requests: RequestLog, *, as_seen: bool = False) -> History:
        with self._timeline if as_seen else self._timeline.caught_up() as now:
            return history_of(self._records, requests, self._limits, now)

    def catch_up(self) -> None:
        """Wait for background work that is due by now, if there is any."""
        with self._timeline.caught_up():
            return

    def close(self) -> None:
        """Drop what is running and close the store. A second call does nothing."""
        with self._timeline.lock:
            self._transitions.close()
            self._store.close()

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Have `effect`, a call of a method here, happen that many seconds from now.

        A refusal that it raises is lost. It does not outlive the process.
        """
        self._timeline.later(seconds, effect)

    def time(self) -> float:
        """Return the time of the service's own clock, in unix seconds."""
        return self._timeline.time()
