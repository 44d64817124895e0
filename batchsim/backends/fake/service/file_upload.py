"""Uploads: a content on its way into the store, and the checks of it.

Theory of operation. A content is written once, into a draft of the store. It is either read from a
stream, or handed over piece by piece. Every piece is checked as if it belonged to the input of a
batch. An error counts as soon as the purpose of the file is known: at once for a stream, at the end
for pieces.
"""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import orjson

from batchsim.backends import Reception
from batchsim.backends.fake.execution import Settings
from batchsim.backends.fake.ids import file_id
from batchsim.backends.fake.service.rate_limit import RateLimit
from batchsim.backends.fake.service.timeline import Timeline
from batchsim.backends.fake.service.transitions import Transitions
from batchsim.backends.fake.service.view import View
from batchsim.backends.fake.store import FileRecord, Records
from batchsim.domain import refusals
from batchsim.domain.files import File, Purpose
from batchsim.domain.limits import LARGEST_FILE, Limits
from batchsim.domain.parameter_checks import check_content, check_lifetime, check_purpose
from batchsim.errors import Refused
from batchsim.stores import Draft, Store

LONGEST_FIRST_LINE = 4 << 20  # bytes; a longer one is checked only when the batch is validated
PIECE = 1 << 18  # bytes that are read at once


class Uploads:
    """Stores new files. May be used from any thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        records: Records,
        transitions: Transitions,
        timeline: Timeline,
        view: View,
    ) -> None:
        self._draws = settings.draws
        self._pacing = settings.pacing
        self._limits = settings.limits
        self._store = store
        self._records = records
        self._transitions = transitions
        self._timeline = timeline
        self._view = view
        most = self._limits.uploads_per_minute
        self._rate = RateLimit(most, 60, refusals.too_many_uploads)

    def upload(
        self, content: BinaryIO, filename: str, purpose: str, expires_after: int | None
    ) -> File:
        """See Backend.upload_file. At most one piece beyond the largest size is read."""
        self._admit(filename, purpose, expires_after)
        check_content(content)
        with self._store.draft() as draft:
            incoming = _Incoming(draft, self._limits)
            while block := content.read(PIECE):
                incoming.write(block)
                incoming.check(purpose)
            return self._keep(incoming, filename, purpose, expires_after)

    @contextmanager
    def receiving(self) -> Iterator[Reception]:
        with self._store.draft() as draft:
            yield _Reception(self, _Incoming(draft, self._limits))

    def keep(
        self, incoming: "_Incoming", filename: str, purpose: str, expires_after: int | None
    ) -> File:
        self._admit(filename, purpose, expires_after)
        return self._keep(incoming, filename, purpose, expires_after)

    def _admit(self, filename: str, purpose: str, expires_after: int | None) -> None:
        check_purpose(purpose, filename)
        check_lifetime("expires_after", expires_after, self._limits)
        with self._timeline as now:
            self._rate.admit(now)

    def _keep(
        self, incoming: "_Incoming", filename: str, purpose: str, expires_after: int | None
    ) -> File:
        incoming.end()
        incoming.check(purpose)
        self._timeline.sleep(self._pacing.upload)
        with self._timeline as now:
            if expires_after is None and purpose == Purpose.BATCH:
                expires_after = self._limits.file_lifetime
            file = File(
                id=file_id(self._draws, "upload", self._records.uploads),
                purpose=purpose,
                filename=filename,
                bytes=incoming.size,
                created_at=int(now),
                expires_at=None if expires_after is None else int(now) + expires_after,
            )
            incoming.draft.keep(file.id)
            record = FileRecord(file=file, created=now)
            self._records.uploads += 1
            self._records.save(now, files=[record])
            self._transitions.schedule_file(record)
            return self._view.file(record, now)


class _Reception:
    def __init__(self, uploads: Uploads, incoming: "_Incoming") -> None:
        self._uploads = uploads
        self._incoming = incoming
        self.write = incoming.write

    def keep(self, *, filename: str, purpose: str, expires_after: int | None = None) -> File:
        return self._uploads.keep(self._incoming, filename, purpose, expires_after)


class _Incoming:
    """A content of `size` bytes so far, on its way into `draft`."""

    def __init__(self, draft: Draft, limits: Limits) -> None:
        self.draft = draft
        self.size = 0
        self._limits = limits
        self._input_check: _InputCheck | None = _InputCheck()
        self._input_error: Refused | None = None

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > LARGEST_FILE:
            raise refusals.file_too_large()
        self._check_piece(data)
        self.draft.write(data)

    def end(self) -> None:
        self._check_piece(None)

    def check(self, purpose: str) -> None:
        """Raise Refused when the content cannot be a file of that purpose."""
        is_input = purpose == Purpose.BATCH
        if self._input_error is not None and is_input:
            raise self._input_error
        if self.size > (self._limits.input_file_bytes if is_input else LARGEST_FILE):
            raise refusals.file_too_large()

    def _check_piece(self, data: bytes | None) -> None:
        # Beyond the largest input only the size matters.
        if self._input_check is None or self.size > self._limits.input_file_bytes:
            return
        try:
            self._input_check.finish() if data is None else self._input_check.see(data)
        except Refused as error:
            self._input_error, self._input_check = error, None


class _InputCheck:
    """Raises Refused when a content cannot be the input of a batch.

    Here only the first line has to be JSON. The others are checked when a batch is validated
    (observed).
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_between_characters = True
        self._first_line: bytearray | None = bytearray()

    def see(self, block: bytes) -> None:
        self._decode(block)
        if self._first_line is not None:
            head, newline, _ = block.partition(b"\n")
            self._first_line += head
            if len(self._first_line) > LONGEST_FIRST_LINE:
                self._first_line = None
            elif newline:
                self._check_first_line()

    def finish(self) -> None:
        self._decode(b"", final=True)
        if self._first_line is not None:
            self._check_first_line()

    def _decode(self, block: bytes, *, final: bool = False) -> None:
        # The test for ASCII takes a tenth of the time of decoding.
        if self._is_between_characters and block.isascii():
            return
        try:
            self._decoder.decode(block, final)
        except UnicodeDecodeError:
            raise refusals.not_utf8() from None
        self._is_between_characters = not self._decoder.getstate()[0]

    def _check_first_line(self) -> None:
        # A byte order mark passes here and fails the batch in validation (observed).
        line, self._first_line = bytes(self._first_line or b""), None
        try:
            orjson.loads(line.removeprefix(codecs.BOM_UTF8))
        except orjson.JSONDecodeError:
            raise refusals.wrong_file_format() from None
