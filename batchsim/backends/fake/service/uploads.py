"""How files come in: what is checked before, on the way and at the end, and what becomes of them.

Theory of operation. A content is written once, into a draft of the store, whether it is read from
someone who has it whole or handed over piece by piece; on the way it is looked at as if it were
the input of a batch. What is wrong with it counts when it is known what the file is for: at
once when it is read, at the end when it is handed over.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import orjson

from batchsim.backends import Reception
from batchsim.backends.fake.execution.settings import Behaviour
from batchsim.backends.fake.ids import file_id
from batchsim.backends.fake.service.rate_limit import RateLimit
from batchsim.backends.fake.service.timeline import Present
from batchsim.backends.fake.service.transitions import Progress
from batchsim.backends.fake.service.view import View
from batchsim.backends.fake.store.records import FileRecord, Records
from batchsim.domain import refusals
from batchsim.domain.files import File, Purpose
from batchsim.domain.limits import LARGEST_FILE, Limits
from batchsim.domain.parameter_checks import check_content, check_lifetime, check_purpose
from batchsim.errors import Refused
from batchsim.stores import Draft, Store

LONGEST_FIRST_LINE = 4 << 20
"""Bytes. A longer first line is not looked at here, but when the batch is validated."""

PIECE = 1 << 18
"""How many bytes are read at once."""


class Uploads:
    """Takes files in. May be used from any thread."""

    def __init__(
        self,
        behaviour: Behaviour,
        store: Store,
        records: Records,
        progress: Progress,
        present: Present,
        view: View,
    ) -> None:
        self._draws = behaviour.draws
        self._pacing = behaviour.pacing
        self._limits = behaviour.limits
        self._store = store
        self._records = records
        self._progress = progress
        self._present = present
        self._view = view
        most = self._limits.uploads_per_minute
        self._rate = RateLimit(most, 60, refusals.too_many_uploads)

    def upload(
        self, content: BinaryIO, filename: str, purpose: str, expires_after: int | None
    ) -> File:
        """See Backend.upload_file. At most one piece more is read than the file may have."""
        self._admit(filename, purpose, expires_after)
        check_content(content)
        with self._store.draft() as draft:
            intake = _Intake(draft, self._limits)
            while block := content.read(PIECE):
                intake.write(block)
                intake.check(purpose)
            return self._keep(intake, filename, purpose, expires_after)

    @contextmanager
    def receiving(self) -> Iterator[Reception]:
        """See Receives."""
        with self._store.draft() as draft:
            yield _Reception(self, _Intake(draft, self._limits))

    def keep(self, intake: _Intake, filename: str, purpose: str, expires_after: int | None) -> File:
        """Make a file of what came in."""
        self._admit(filename, purpose, expires_after)
        return self._keep(intake, filename, purpose, expires_after)

    def _admit(self, filename: str, purpose: str, expires_after: int | None) -> None:
        check_purpose(purpose, filename)
        check_lifetime("expires_after", expires_after, self._limits)
        with self._present as now:
            self._rate.admit(now)

    def _keep(
        self, intake: _Intake, filename: str, purpose: str, expires_after: int | None
    ) -> File:
        intake.end()
        intake.check(purpose)
        self._present.sleep(self._pacing.upload)
        with self._present as now:
            if expires_after is None and purpose == Purpose.BATCH:
                expires_after = self._limits.file_lifetime
            file = File(
                id=file_id(self._draws, "upload", self._records.uploads),
                purpose=purpose,
                filename=filename,
                bytes=intake.size,
                created_at=int(now),
                expires_at=None if expires_after is None else int(now) + expires_after,
            )
            intake.draft.keep(file.id)
            record = FileRecord(file=file, created=now)
            self._records.uploads += 1
            self._records.save(now, files=[record])
            self._progress.plan_file(record)
            return self._view.file(record, now)


class _Reception:
    def __init__(self, uploads: Uploads, intake: _Intake) -> None:
        self._uploads = uploads
        self._intake = intake
        self.write = intake.write

    def keep(self, *, filename: str, purpose: str, expires_after: int | None = None) -> File:
        return self._uploads.keep(self._intake, filename, purpose, expires_after)


class _Intake:
    """A content on its way into `draft`, of `size` bytes so far."""

    def __init__(self, draft: Draft, limits: Limits) -> None:
        self.draft = draft
        self.size = 0
        self._limits = limits
        self._check: _InputCheck | None = _InputCheck()
        self._flaw: Refused | None = None

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > LARGEST_FILE:
            raise refusals.file_too_large()
        self._look(data)
        self.draft.write(data)

    def end(self) -> None:
        self._look(None)

    def check(self, purpose: str) -> None:
        """Raises Refused when what came so far is too much for a file for that, or not its kind."""
        is_input = purpose == Purpose.BATCH
        if self._flaw is not None and is_input:
            raise self._flaw
        if self.size > (self._limits.input_file_bytes if is_input else LARGEST_FILE):
            raise refusals.file_too_large()

    def _look(self, data: bytes | None) -> None:
        """Look at a piece of what may be a batch's input, unless it is known to be none."""
        # Of more than an input may have only the size matters.
        if self._check is None or self.size > self._limits.input_file_bytes:
            return
        try:
            self._check.finish() if data is None else self._check.see(data)
        except Refused as flaw:
            self._flaw, self._check = flaw, None


class _InputCheck:
    """Raises Refused when a content can be no batch's input.

    Only the first line has to be JSON here; the others are looked at when a batch is validated
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
        # Telling that all is ASCII takes a tenth of the time of decoding it.
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
