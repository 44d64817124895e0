"""A Backend that counts what goes through it, and stops before it costs more than was allowed."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass

from batchsim.backends import Backend
from batchsim.errors import BatchsimError


class CapReached(BaseException):
    """The next step would exceed what was allowed. No check may mistake it for a refusal."""


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be spent: batches and lines altogether, and seconds of waiting for each check."""

    batches: int
    lines: int
    seconds: float


@dataclass(slots=True)
class Spent:
    """What was spent, and the longest single wait."""

    batches: int = 0
    lines: int = 0
    seconds: float = 0.0
    longest_nap: float = 0.0


class MeteredBackend(Backend):
    """`inner`, metered. `spent` goes on counting; `begin_check` sets the patience anew."""

    def __init__(self, inner: Backend, cap: Cap) -> None:
        self.clock = _MeteredClock(inner.clock, self)
        self.service = inner.service
        self.spent = Spent()
        self.cap = cap
        self._inner = inner
        self._patience_ends = cap.seconds
        self._lines: dict[str, int] = {}
        self._files: set[str] = set()
        self._batches: set[str] = set()

    def begin_check(self) -> None:
        """Allow the seconds of the cap from now on."""
        self._patience_ends = self.spent.seconds + self.cap.seconds
        self.spent.longest_nap = 0.0

    def spend_seconds(self, seconds: float) -> None:
        """Note a wait before it begins."""
        self.spent.longest_nap = max(self.spent.longest_nap, seconds)
        if self.spent.seconds + seconds > self._patience_ends:
            raise CapReached(f"it would wait for more than {self.cap.seconds / 60:.0f} minutes")
        self.spent.seconds += seconds

    def clean_up(self) -> None:
        """Cancel the batches that still run and delete all files, as far as the service lets us."""
        for batch_id in self._batches:
            with suppress(BatchsimError):
                batch = self._inner.retrieve_batch(batch_id)
                self._files |= {batch.output_file_id, batch.error_file_id} - {None}
                if not batch.status.is_terminal:
                    self._inner.cancel_batch(batch_id)
        for file_id in sorted(self._files):
            with suppress(BatchsimError):
                self._inner.delete_file(file_id)

    def upload_file(self, content, **options):
        """As `inner`; the lines are counted before."""
        lines = _lines_ahead(content)
        file = self._inner.upload_file(content, **options)
        if lines is not None:
            self._lines[file.id] = lines
        self._files.add(file.id)
        return file

    def create_batch(self, **order):
        """As `inner`, unless it would cost too much. Only what was uploaded here has lines."""
        file_id = order["input_file_id"]
        lines = self._lines.get(file_id, 0) if isinstance(file_id, str) else 0
        if self.spent.batches >= self.cap.batches or self.spent.lines + lines > self.cap.lines:
            raise CapReached(f"more than {self.cap.batches} batches or {self.cap.lines} lines")
        batch = self._inner.create_batch(**order)
        self.spent.batches += 1
        self.spent.lines += lines
        self._batches.add(batch.id)
        return batch

    def retrieve_file(self, file_id):
        """As `inner`."""
        return self._inner.retrieve_file(file_id)

    def list_files(self, **query):
        """As `inner`."""
        return self._inner.list_files(**query)

    def delete_file(self, file_id):
        """As `inner`."""
        self._inner.delete_file(file_id)

    def read_file(self, file_id):
        """As `inner`."""
        return self._inner.read_file(file_id)

    def retrieve_batch(self, batch_id):
        """As `inner`."""
        return self._inner.retrieve_batch(batch_id)

    def cancel_batch(self, batch_id):
        """As `inner`."""
        return self._inner.cancel_batch(batch_id)

    def list_batches(self, **query):
        """As `inner`."""
        return self._inner.list_batches(**query)


class _MeteredClock:
    def __init__(self, inner, meter):
        self._inner = inner
        self._meter = meter

    def now(self):
        return self._inner.now()

    def sleep(self, seconds):
        self._meter.spend_seconds(seconds)
        self._inner.sleep(seconds)


def _lines_ahead(content):
    """How many lines `content` still holds, an unfinished last one too; None when
    it cannot seek.
    """
    if not isinstance(content, io.IOBase) or not content.seekable():
        return None
    start = content.tell()
    lines = sum(1 for _ in content)
    content.seek(start)
    return lines
