"""ShardContent: a shard's lines as a stream of bytes, read from the input without a copy."""

import hashlib
import io
import os
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import Self

from batchsim.jsonl import BLOCK, open_input
from batchsim.runner.journal.shard_entries import Planned, runs
from batchsim.runner.planning.request_lines import changed_input


class ShardContent(io.RawIOBase):
    """The bytes that are sent for a shard, hashed as they are read for the first time.

    A final newline that the input lacks is added. Use it as a context manager: leaving it without
    an error raises JournalError unless all bytes were read and are those that were planned.
    """

    def __init__(self, source: Path, plan: Planned) -> None:
        super().__init__()
        self._source = source
        self._plan = plan
        self._begins = array("Q")
        self._starts = array("Q")
        total = 0
        for run in runs(plan.ranges):
            self._begins.append(run.begin)
            self._starts.append(total)
            total += run.end - run.begin
        self._size = total
        self._position = 0
        self._hashed = 0
        self._hash = hashlib.sha256()
        self._input = open_input(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        if kind is None and self._hash.hexdigest() != self._plan.fingerprint:
            held = [*runs(self._plan.ranges)]
            lines = f"{held[0].first + 1:,} to {held[-1].first + held[-1].lines:,}"
            raise changed_input(self._source, f"a line from {lines} is another")

    def buffered(self) -> io.BufferedReader:
        """Return the content behind a buffer, for callers that rely on full reads."""
        return io.BufferedReader(self, BLOCK)

    def read_through(self) -> None:
        """Read everything, so that leaving the context checks it."""
        while self.read(BLOCK):
            pass

    def close(self) -> None:
        self._input.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        """Return True: an upload asks for the size by seeking to the end."""
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # the stubs' Buffer has no len
        """Fill as much of `buffer` as one run of lines can. Return the bytes read; 0 at the end."""
        if self._position >= self._size:
            return 0
        run = bisect_right(self._starts, self._position) - 1
        end = self._starts[run + 1] if run + 1 < len(self._starts) else self._size
        wanted = min(len(buffer), end - self._position)
        self._input.seek(self._begins[run] + self._position - self._starts[run])
        piece = memoryview(buffer)[:wanted]
        count = self._input.readinto(piece)
        if not count and self._position == self._size - 1:
            piece[:1] = b"\n"
            count = 1
        if self._position == self._hashed:
            self._hash.update(piece[:count])
            self._hashed += count
        self._position += count
        return count
