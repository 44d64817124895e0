"""The service: the Batch API as methods, with nothing between it and who asks.

Theory of operation. A call checks what it is given, enters the present (see present), in which all
that has become due by then has happened, and does its own work there.

Single requests, answered at once and without a batch, by the responder that answers the lines.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Literal, TypeVar

from batchsim.backends import Backend, Page, Reception
from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.execution.settings import (
    Behaviour,
    CurrentBehaviour,
    check_own_scenario,
)
from batchsim.backends.fake.ids import batch_id
from batchsim.backends.fake.log.history import History, history_of
from batchsim.backends.fake.log.request_log import RequestJournal
from batchsim.backends.fake.service.background import AtOnce, Background
from batchsim.backends.fake.service.rate_limit import RateLimit
from batchsim.backends.fake.service.timeline import Present
from batchsim.backends.fake.service.transitions import Progress
from batchsim.backends.fake.service.uploads import PIECE, Uploads
from batchsim.backends.fake.service.view import View
from batchsim.backends.fake.store.records import BatchRecord, Records
from batchsim.clock import VIRTUAL_START, Clock, VirtualClock
from batchsim.domain import refusals
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import ENDPOINTS, Endpoint
from batchsim.domain.files import File
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR
from batchsim.domain.lines import RequestLine
from batchsim.domain.parameter_checks import (
    check_creation,
    check_lifetime,
    check_limit,
    check_page,
    check_request,
    check_text,
)
from batchsim.errors import NotFound
from batchsim.responders import Occasion, error_answers
from batchsim.stores import Store


class Synchronous:
    """Answers single requests. They are counted from 1, and the count is the key of their chance."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._numbers = itertools.count(1)

    def answer(self, url: str, body: dict[str, Any], now: float) -> Answer:
        """The answer to `body` sent to `url`, one of ENDPOINTS, at the time `now`."""
        refused = self._refusal(ENDPOINTS[url], body)
        if refused is not None:
            return refused
        number = next(self._numbers)
        request = RequestLine(number, "", url, body.get("model"), body)
        entropy = self._behaviour.draws.draw("synchronous answer", number, size=64)
        return self._behaviour.respond(request, Occasion(int(now), entropy))

    def _refusal(self, endpoint: Endpoint, body: dict[str, Any]) -> Answer | None:
        model = body.get("model")
        if model is None and "model" in endpoint.required:
            return error_answers.model_not_given()
        if model is not None and type(model) is not str:
            return error_answers.invalid_type("model", "a string", model)
        if model is not None and not self._behaviour.supports(model):
            return error_answers.no_such_model(model)
        if body.get("stream") is True and endpoint.streams:
            return error_answers.streaming_not_simulated()
        if any(body.get(name) is not None for name in endpoint.substitutes):
            return None
        missing = [name for name in endpoint.required if body.get(name) is None]
        return error_answers.missing_parameter(missing[0]) if missing else None


Value = TypeVar("Value")


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
        limits = self._limits
        self._creations = RateLimit(limits.batches_per_hour, HOUR, refusals.too_many_batches)
        for record in self._records.batches.values():
            self._creations.count(record.batch.created_at)
        tasks = Background(store) if in_background else AtOnce(store)
        self._progress = Progress(self._records, self._store, self._behaviour, tasks)
        self._present = Present(self.clock, self._behaviour, self._records, self._progress)
        self._view = View(self._records, self._progress, self._behaviour)
        self._uploads = Uploads(
            behaviour, store, self._records, self._progress, self._present, self._view
        )
        self._synchronous = Synchronous(behaviour)

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
        return self._uploads.upload(content, filename, purpose, expires_after)

    def receiving(self) -> AbstractContextManager[Reception]:
        """See Receives. The same is checked as in `upload_file`, most of it at the end."""
        return self._uploads.receiving()

    def retrieve_file(self, file_id: str) -> File:
        """See Backend."""
        check_text("file_id", file_id)
        with self._present as now:
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
        newest_first = order == "desc"
        with self._present as now:
            return self._view.files(
                purpose=purpose, limit=limit, after=after, newest_first=newest_first, now=now
            )

    def delete_file(self, file_id: str) -> None:
        """See Backend."""
        check_text("file_id", file_id)
        with self._present.caught_up() as now:
            self._records.file(file_id)
            self._progress.remove_file(file_id, now)

    def read_file(self, file_id: str) -> Iterator[bytes]:
        """See Backend. Files for assistants and of user data are refused (observed)."""
        check_text("file_id", file_id)
        with self._present as now:
            record = self._view.find_readable(file_id, now)
            stream = self._store.open_content(file_id)
        with stream:
            per_line = self._pacing.download_per_line * record.lines
            self._present.sleep(self._pacing.download + int(per_line))
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
        with self._present as now:
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
            self._progress.plan_batch(record)
        return batch

    def retrieve_batch(self, batch_id: str) -> Batch:
        """See Backend. An id that does not begin with `batch` is refused (observed)."""
        check_text("batch_id", batch_id)
        with self._present as now:
            return self._view.batch(self._view.find_batch(batch_id, now), now)

    def cancel_batch(self, batch_id: str) -> Batch:
        """See Backend. Cancelling while results are written is allowed (inferred)."""
        check_text("batch_id", batch_id)
        with self._present.caught_up() as now:
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
        with self._present as now:
            return self._view.batches(limit=limit, after=after, now=now)

    def batch_at_once(self, batch_id: str) -> Batch | None:
        """See Prompt. Nor is a batch shown so that lives in a scenario of its own."""
        return self._present.at_once(batch_id, self._batch_now)

    def file_at_once(self, file_id: str) -> File | None:
        """See Prompt. Nor is a file shown so whose batch lives in a scenario of its own."""
        return self._present.at_once(file_id, self._file_now)

    def _batch_now(self, batch_id: str, now: float) -> Batch | None:
        record = self._records.batches.get(batch_id)
        if record is None or self._behaviour.scenario_of(record) is not None:
            return None
        try:
            return self._view.batch(self._view.find_batch(batch_id, now), now)
        except NotFound:
            return None

    def _file_now(self, file_id: str, now: float) -> File | None:
        if self.scenario_about(file_id) is not None:
            return None
        try:
            return self._view.file(self._view.find_file(file_id, now), now)
        except NotFound:
            return None

    def set_faults(self, faults: Faults) -> None:
        """Let other things go wrong from now on. A batch that is running its lines keeps its own."""
        with self._present.caught_up():
            self._behaviour.faults = faults

    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """See FakeBackend."""
        check_request(url, body)
        if url not in ENDPOINTS:
            raise refusals.unknown_url("POST", url)
        return self._synchronous.answer(url, body, self._present.now())

    def kind_of_file(self, identifier: str) -> str | None:
        """Whether it is the "output" or "error" file of a batch, or another: "input"; None without one."""
        with self._present.lock:
            record = self._records.files.get(identifier)
            return None if record is None else record.kind

    def scenario_about(self, identifier: str) -> str | None:
        """The scenario of its own that a batch lives in; `identifier` is its id or a result file's."""
        with self._present.lock:
            record = self._records.batch_about(identifier)
            return None if record is None else self._behaviour.scenario_of(record)

    def take_ended(self) -> tuple[Batch, ...]:
        """The batches that have ended since the last call, in the order in which they ended.

        Only those that ended in this process: who must not miss any asks before it closes.
        """
        with self._present as now:
            ended = self._progress.take_ended()
            return tuple(
                self._view.batch(self._records.batches[identifier], now) for identifier in ended
            )

    def all_batches(self) -> list[Batch]:
        """Every batch as it is now, oldest first, whether a list would show it or not."""
        with self._present.caught_up() as now:
            return [self._view.batch(each, now) for each in self._records.batches.values()]

    def all_files(self) -> list[File]:
        """Every file as it is now, oldest first, whether a list would show it or not."""
        with self._present.caught_up():
            return [each.file for each in self._records.files.values()]

    def history(self, requests: RequestJournal, *, as_seen: bool = False) -> History:
        """What came of those requests by now, or `as_seen`: see FakeBackend."""
        with self._present if as_seen else self._present.caught_up() as now:
            return history_of(self._records, requests, self._limits, now)

    def catch_up(self) -> None:
        """Wait for what is due by now and still under way in the background, if anything is."""
        with self._present.caught_up():
            return

    def close(self) -> None:
        """Forget what is running and close the store. A second call does nothing."""
        with self._present.lock:
            self._progress.close()
            self._store.close()

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Have `effect`, a call of a method here, happen that many seconds from now.

        What it raises is lost. It does not outlive the process.
        """
        self._present.later(seconds, effect)

    def time(self) -> float:
        """What the service's own clock says, in unix seconds."""
        return self._present.time()
