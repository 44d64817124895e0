"""FakeBackend: the Batch API as methods.

Theory of operation. Nothing runs between calls. Every call first applies all that has become due
by the clock's time (see progress), each thing stamped with the time at which it was due, and then
does its own work. One lock makes calls whole. Time never goes back: a clock that does is taken to
stand still until it has caught up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Literal

from batchsim.backends import Page
from batchsim.backends.fake.clients import Clients
from batchsim.backends.fake.course import Behaviour
from batchsim.backends.fake.faults import NO_FAULTS, Faults
from batchsim.backends.fake.ids import Draws, batch_id, file_id
from batchsim.backends.fake.listing import cut_page
from batchsim.backends.fake.pacing import Pacing, pacing_of
from batchsim.backends.fake.progress import Progress
from batchsim.backends.fake.rates import RateLimit
from batchsim.backends.fake.records import BatchRecord, FileRecord, Records
from batchsim.backends.fake.synchronous import Synchronous
from batchsim.backends.fake.uploads import receive
from batchsim.clock import VIRTUAL_START, Clock, VirtualClock
from batchsim.domain import refusals
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import ENDPOINTS, is_openai_model
from batchsim.domain.files import File, Purpose
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR, OPENAI, Limits
from batchsim.domain.parameters import (
    check_creation,
    check_lifetime,
    check_limit,
    check_purpose,
)
from batchsim.errors import UsageError
from batchsim.jsonl import BLOCK
from batchsim.responders import Answer
from batchsim.responders.scripted import Source, scripted
from batchsim.responders.simulated import simulated
from batchsim.stores import Store
from batchsim.stores.memory import MemoryStore

LARGEST_FILE = 512_000_000
"""The most bytes of a file that is no batch's input (API reference, 512 MB)."""

UNREADABLE = (Purpose.USER_DATA, Purpose.ASSISTANTS)
"""The purposes whose files cannot be read back (observed)."""


class FakeBackend(Clients):
    """The OpenAI Batch API, simulated in the process: deterministic, free, and as fast as you like.

    - `seed`: what all chance depends on. Same seed and same calls: the same bytes.
    - `clock`: a VirtualClock unless given, which starts where `store` left off.
    - `pacing`: how long things take; a Pacing or the name of one ("today", "2025", "2024",
      "quick", "instant").
    - `responder`: who answers the lines: a function of the request, a mapping by custom_id, or the
      path of a JSONL file (see batchsim.responders.scripted); by default a simulated model. It is
      asked about a line when the line's time has come, and at most once in a process.
    - `limits`: what is allowed; OpenAI's limits by default.
    - `store`: where files and batches rest; memory by default. Batches that were running when a
      store was last open run on, and the lines that had run are run again: to the same results,
      given the same seed, pacing and responder. `close` closes the store.
    - `order`: "shuffled" (by default) writes results in the order in which their lines finished;
      "input" in input order, as the service does in practice without promising it.
    - `faults`: what goes wrong; nothing by default.
    - `supports`: which models exist.
    - `organization`, `project`: the names that appear in messages.

    Raises UsageError for an unknown pacing or order, and what the responder's source raises.
    """

    service = "the simulator"

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        pacing: Pacing | str | None = None,
        responder: Source | None = None,
        limits: Limits = OPENAI,
        store: Store | None = None,
        order: Literal["shuffled", "input"] = "shuffled",
        faults: Faults | None = None,
        supports: Callable[[str], bool] = is_openai_model,
        organization: str = "org-batchsim",
        project: str = "proj_batchsim",
    ) -> None:
        if order not in ("shuffled", "input"):
            raise UsageError(
                f"results cannot be in {order!r} order", hint='choose "shuffled" or "input"'
            )
        self.organization = organization
        self.project = project
        self._pacing = pacing_of(pacing)
        self._faults = faults or NO_FAULTS
        self._limits = limits
        self._draws = Draws(seed)
        self._store = MemoryStore() if store is None else store
        self.lasts = not isinstance(self._store, MemoryStore)
        self._records = Records(self._store)
        self.clock = clock or VirtualClock(self._records.latest or VIRTUAL_START)
        self._supports = supports
        self._lock = threading.RLock()
        self._uploads = RateLimit(limits.uploads_per_minute, 60)
        self._creations = RateLimit(limits.batches_per_hour, HOUR)
        for record in self._records.batches.values():
            self._creations.count(record.batch.created_at)
        behaviour = Behaviour(
            draws=self._draws,
            pacing=self._pacing,
            faults=self._faults,
            limits=limits,
            respond=simulated if responder is None else scripted(responder),
            supports=supports,
            shuffled=order == "shuffled",
            organization=organization,
        )
        self._progress = Progress(self._records, self._store, behaviour)
        self._synchronous = Synchronous(behaviour)

    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
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
        return file

    def retrieve_file(self, file_id: str) -> File:
        """See Backend."""
        with self._lock:
            self._advance()
            return self._records.file(file_id).file

    def list_files(
        self,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page[File]:
        """See Backend. Raises NotFound when there is no file `after` (inferred)."""
        check_limit(limit, self._limits.files_per_page)
        if order not in ("asc", "desc"):
            raise refusals.unknown_order(order)
        with self._lock:
            self._advance()
            if after is not None:
                self._records.file(after)
            records = self._records.files
            entries = records.items() if order == "asc" else reversed(records.items())
            return cut_page(
                entries,
                lambda record: record.file,
                limit=limit,
                after=after,
                matches=lambda record: purpose is None or record.file.purpose == purpose,
            )

    def delete_file(self, file_id: str) -> None:
        """See Backend."""
        with self._lock:
            now = self._advance()
            self._records.file(file_id)
            self._progress.remove_file(file_id, now)

    def read_file(self, file_id: str) -> Iterator[bytes]:
        """See Backend. Files for assistants and of user data are refused (observed)."""
        with self._lock:
            self._advance()
            record = self._records.file(file_id)
            if record.file.purpose in UNREADABLE:
                raise refusals.not_downloadable(record.file.purpose)
            stream = self._store.open_content(file_id)
        with stream:
            per_line = self._pacing.download_per_line * record.lines
            self._keep_waiting(self._pacing.download + int(per_line))
            while block := stream.read(BLOCK):
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
        with self._lock:
            now = self._advance()
            self._check_input_file(input_file_id, now)
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
        with self._lock:
            now = self._advance()
            return self._progress.shown(self._records.batch(batch_id), now)

    def cancel_batch(self, batch_id: str) -> Batch:
        """See Backend. Cancelling while results are written is allowed (inferred)."""
        with self._lock:
            now = self._advance()
            record = self._records.batch(batch_id)
            status = record.batch.status
            if status in (Status.CANCELLING, Status.CANCELLED):
                return self._progress.shown(record, now)
            if status.is_terminal:
                raise refusals.cannot_cancel(status)
            return self._progress.shown(self._progress.cancel(record, now), now)

    def list_batches(self, *, limit: int = 20, after: str | None = None) -> Page[Batch]:
        """See Backend. Raises NotFound when there is no batch `after` (inferred)."""
        check_limit(limit, self._limits.batches_per_page)
        with self._lock:
            now = self._advance()
            if after is not None and after not in self._records.batches:
                raise refusals.no_such_batch(after)
            return cut_page(
                reversed(self._records.batches.items()),
                lambda record: self._progress.shown(record, now),
                limit=limit,
                after=after,
            )

    def set_faults(self, faults: Faults) -> None:
        """Let other things go wrong from now on. A batch that is running its lines keeps its own."""
        with self._lock:
            self._advance()
            self._faults = faults
            self._progress.set_faults(faults)

    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """See Answers. Whoever answers the lines answers, asked with an empty custom_id.

        A responder of one's own may be asked by several threads at once.
        """
        if url not in ENDPOINTS:
            raise refusals.unknown_url("POST", url)
        with self._lock:
            now = self._advance()
        return self._synchronous.answer(url, body, now)

    def has_model(self, name: str) -> bool:
        """See Answers."""
        return self._supports(name)

    def take_ended(self) -> tuple[Batch, ...]:
        """The batches that have ended since the last call, in the order in which they ended.

        Only those that ended in this process: who must not miss any asks before it closes.
        """
        with self._lock:
            now = self._advance()
            ended = self._progress.take_ended()
            return tuple(
                self._progress.shown(self._records.batches[identifier], now) for identifier in ended
            )

    def close(self) -> None:
        """Forget what is running and close the store. A second call does nothing."""
        with self._lock:
            self._progress.close()
            self._store.close()

    def _advance(self) -> float:
        """Apply everything that is due; the time of this call."""
        now = self._records.note_time(self.clock.now())
        self._progress.advance(now)
        return now

    def _keep_waiting(self, seconds: float) -> None:
        if seconds:
            self.clock.sleep(seconds)

    def _admit_upload(self) -> None:
        with self._lock:
            now = self._advance()
            if wait := self._uploads.wait(now):
                raise refusals.too_many_uploads(self._uploads.limit, wait)
            self._uploads.count(now)

    def _check_input_file(self, identifier: str, now: float) -> None:
        record = self._records.files.get(identifier)
        delay = self._faults.file_unknown_for
        if delay and (record is None or now < record.created + delay):
            raise refusals.cannot_find_file(identifier, self.project)
        if record is not None and record.file.purpose != Purpose.BATCH:
            raise refusals.wrong_input_purpose(identifier, record.file.purpose)
