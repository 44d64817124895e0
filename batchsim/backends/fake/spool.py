"""Bytes put aside: in memory while they are few, then in a temporary file."""

from __future__ import annotations

import tempfile
import weakref

IN_MEMORY = 1 << 16
"""How many bytes stay in memory."""


class Spool:
    """Bytes that are appended and read again by position. Gone when it is closed or collected."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - see close
        self._end = 0
        self.close = weakref.finalize(self, self._file.close)
        """Forget everything."""

    def append(self, data: bytes) -> int:
        """Put `data` at the end; the position of its first byte."""
        start = self._end
        self._file.seek(start)
        self._file.write(data)
        self._end += len(data)
        return start

    def read(self, start: int, length: int) -> bytes:
        """The `length` bytes from `start` on."""
        self._file.seek(start)
        return self._file.read(length)
