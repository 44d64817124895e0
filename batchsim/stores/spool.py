"""Spool: temporary bytes, in memory while they are few, then in a file."""

import io
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, cast

from batchsim.jsonl import read_all_at, read_at

BLOCK = 1 << 16  # bytes that stay in memory before they go to the file


class Spool:
    """Bytes that are appended and read by position. Closing or collecting it drops them."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._in_file = 0
        self._file: io.FileIO | None = None
        self._finalizer: weakref.finalize[..., Spool] | None = None

    def append(self, data: bytes) -> int:
        start = self._in_file + len(self._waiting)
        self._waiting += data
        if len(self._waiting) >= BLOCK:
            self._empty(self._file or self._make_file())
        return start

    def _make_file(self) -> io.FileIO:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the finalizer closes it
        self._finalizer = weakref.finalize(self, file.close)
        self._file = file
        return file

    def _empty(self, file: io.FileIO) -> None:
        file.seek(self._in_file)
        with memoryview(self._waiting) as waiting:
            written = 0
            while written < len(waiting):
                written += file.write(waiting[written:])
        self._in_file += written
        self._waiting.clear()

    def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on, of one appended piece."""
        if self._file is not None and start < self._in_file:
            return read_at(self._file, start, length)
        start -= self._in_file
        return bytes(self._waiting[start : start + length])

    def read_all(self, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        if self._file is None:
            return list(map(self.read, starts, lengths))
        self._empty(self._file)
        return read_all_at(self._file, starts, lengths)

    def close(self) -> None:
        self._waiting.clear()
        if self._finalizer:
            self._finalizer()


def reread(content: BinaryIO) -> Callable[[], BinaryIO]:
    """Spool a content from its present position on. Each call opens it from its beginning."""
    spool, pieces = Spool(), []
    while block := content.read(BLOCK):
        pieces.append((spool.append(block), len(block)))
    return lambda: joined(spool.read(start, length) for start, length in pieces)


def joined(pieces: Iterator[bytes]) -> BinaryIO:
    """Join pieces, none of them empty, into one stream."""
    return cast(BinaryIO, io.BufferedReader(_Joined(pieces), BLOCK))


class _Joined(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
