"""The records of files and batches: their API objects, and the facts that the API does not show."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from batchsim.backends.fake.store.removed_contents import KeptContents
from batchsim.domain import refusals
from batchsim.domain.batches import Batch
from batchsim.domain.files import File, Purpose
from batchsim.stores import Store, Value

_COUNTERS = "counters"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file, its exact creation time, and the number of lines of a result file."""

    file: File
    created: float
    lines: int = 0

    @property
    def kind(self) -> str:
        """Return "output" or "error" for a result file of a batch, else "input"."""
        if self.file.purpose != Purpose.BATCH_OUTPUT:
            return "input"
        return "error" if self.file.filename.endswith("_error.jsonl") else "output"

    def to_value(self) -> Value:
        return {"file": self.file.to_object(), "created": self.created, "lines": self.lines}

    @classmethod
    def from_value(cls, value: Value) -> Self:
        return cls(**{**value, "file": File.from_object(value["file"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch as it was after its last event, with exact times in unix seconds.

    `number` counts the batches from 0 and is the key of the batch's draws. `since` is the time at
    which it entered its status, `started` the time at which it entered `in_progress`. `ran` is how
    many of its lines, in the order of finishing, have run; it is set when the batch leaves
    `in_progress`. `tokens` are its prompt tokens in the queue of the model `queue`, until
    `released`.
    """

    batch: Batch
    number: int
    since: float
    started: float | None = None
    ran: int = 0
    tokens: int = 0
    queue: str | None = None
    released: float | None = None
    output_expires_after: int | None = None

    def to_value(self) -> Value:
        facts: dict[str, Any] = {
            name: getattr(self, name) for name in self.__slots__ if name != "batch"
        }
        return {**facts, "batch": self.batch.to_object()}

    @classmethod
    def from_value(cls, value: Value) -> Self:
        return cls(**{**value, "batch": Batch.from_object(value["batch"])})


class Records:
    """All files and batches by id, oldest first, in memory and in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.kept = KeptContents(store)
        self.files: dict[str, FileRecord] = {}
        self.batches: dict[str, BatchRecord] = {}
        self.uploads = 0  # files that were ever uploaded
        self.latest = store.latest  # the latest time that was saved or seen; None in a new store
        for key, value in store.records():
            if key == _COUNTERS:
                self.uploads = value["uploads"]
            elif key.startswith("batch"):
                self.batches[key] = BatchRecord.from_value(value)
            else:
                self.files[key] = FileRecord.from_value(value)
        self._sweep()

    def file(self, identifier: str) -> FileRecord:
        """Return the file of that id. Raises NotFound as the API does."""
        record = self.files.get(identifier)
        if record is None:
            raise refusals.no_such_file(identifier)
        return record

    def batch(self, identifier: str) -> BatchRecord:
        """Return the batch of that id. Raises NotFound or, for no batch's id, Refused."""
        record = self.batches.get(identifier)
        if record is None:
            known_form = identifier.startswith("batch")
            raise (refusals.no_such_batch if known_form else refusals.not_a_batch_id)(identifier)
        return record

    def batch_about(self, identifier: str) -> BatchRecord | None:
        """Return the batch of that id, or the one whose result file has it."""
        file = self.files.get(identifier)
        if file is not None and file.kind != "input":
            identifier = file.file.filename.rpartition("_")[0]
        return self.batches.get(identifier)

    def reach(self, now: float) -> float:
        """Return `now`, or the latest time ever reached: time never goes back."""
        self.latest = now if self.latest is None else max(now, self.latest)
        return self.latest

    def save(
        self,
        at: float,
        *,
        files: Iterable[FileRecord] = (),
        batch: BatchRecord | None = None,
        removed: str | None = None,
    ) -> None:
        """Save new files and a new or changed batch and remove a file, in one transaction."""
        put: dict[str, Value] = {}
        if files or batch or removed:  # otherwise only the time is saved
            put[_COUNTERS] = {"uploads": self.uploads}
        for record in files:
            put[record.file.id] = record.to_value()
        if batch is not None:
            put[batch.batch.id] = batch.to_value()
        self._store.save(at, put, [removed] if removed else [])
        self.files.update((record.file.id, record) for record in files)
        if batch is not None:
            self.batches[batch.batch.id] = batch
        if removed:
            del self.files[removed]
            self.kept.record_removal(removed, at)

    def drop_if_unused(self, file_id: str) -> None:
        """Drop the content of a removed file, unless a batch that has not ended reads it."""
        if file_id not in self.files and not self._is_input(file_id):
            self.kept.keep(file_id)
            self._store.drop_content(file_id)

    def _is_input(self, file_id: str) -> bool:
        return any(
            record.batch.input_file_id == file_id and not record.batch.status.is_terminal
            for record in self.batches.values()
        )

    def _sweep(self) -> None:
        # A process that died between keeping a content and saving its record left one behind.
        for key in self._store.contents():
            self.drop_if_unused(key)
