"""MemoryStore: records and contents that live as long as the store."""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from batchsim.stores import Draft, Store, Value

SMALL_CONTENT = 1 << 16  # Bytes. Contents up to this size stay in memory, as long as there is room.
ROOM = 1 << 24  # bytes of all contents in memory


class MemoryStore(Store):
    """Records in memory; contents too while they are small and few, else in temporary files.

    The temporary files are deleted with the store, at the latest when the interpreter ends.
    """

    def __init__(self) -> None:
        self._records: dict[str, Value] = {}
        self._latest: float | None = None
        self._contents: dict[str, bytes | Path] = {}
        self._held = 0
        self._lock = threading.Lock()
        self._spill: Path | None = None
        self._drafts = 0
        self._cleanup: weakref.finalize[..., MemoryStore] | None = None

    @property
    def latest(self) -> float | None:
        return self._latest

    def records(self) -> Iterator[tuple[str, Value]]:
        return iter(list(self._records.items()))

    def save(self, at: float, put: Mapping[str, Value], remove: Sequence[str] = ()) -> None:
        self._records.update(put)
        for key in remove:
            self._records.pop(key, None)
        self._latest = at if self._latest is None else max(self._latest, at)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        draft = _MemoryDraft(self)
        try:
            yield draft
        finally:
            draft.drop()

    def open_content(self, key: str) -> BinaryIO:
        content = self._contents[key]
        return BytesIO(content) if isinstance(content, bytes) else content.open("rb")

    def drop_content(self, key: str) -> None:
        with self._lock:
            content = self._contents.pop(key, None)
            if isinstance(content, bytes):
                self._held -= len(content)
        if isinstance(content, Path):
            content.unlink()

    def contents(self) -> list[str]:
        return list(self._contents)

    def close(self) -> None:
        """Delete the temporary files, and with them the large contents."""
        if self._cleanup:
            self._cleanup()

    def keep(self, key: str, content: bytes | Path) -> None:
        self.drop_content(key)
        with self._lock:
            self._contents[key] = content
            if isinstance(content, bytes):
                self._held += len(content)

    def has_room(self, size: int) -> bool:
        """True if a content of `size` bytes may stay in memory."""
        return size <= SMALL_CONTENT and self._held + size <= ROOM

    def spill_path(self) -> Path:
        with self._lock:
            if self._spill is None:
                self._spill = Path(tempfile.mkdtemp(prefix="batchsim-"))
                self._cleanup = weakref.finalize(
                    self, shutil.rmtree, self._spill, ignore_errors=True
                )
            self._drafts += 1
            return self._spill / str(self._drafts)


class _MemoryDraft:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._stream: BinaryIO = BytesIO()
        self._path: Path | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._path is None and not self._store.has_room(self._size):
            self._spill()
        self._stream.write(data)

    def _spill(self) -> None:
        memory = self._stream
        assert isinstance(memory, BytesIO)  # noqa: S101 - tells the type checker
        self._path = self._store.spill_path()
        self._stream = self._path.open("xb")
        self._stream.write(memory.getbuffer())

    def keep(self, key: str) -> None:
        if isinstance(self._stream, BytesIO):
            self._store.keep(key, self._stream.getvalue())
            return
        assert self._path is not None  # noqa: S101 - tells the type checker
        self._stream.close()
        self._store.keep(key, self._path)
        self._path = None

    def drop(self) -> None:
        self._stream.close()
        if self._path:
            self._path.unlink(missing_ok=True)
