"""The contents of files for a verdict, removed files included as far as memory allows."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO

from batchsim.errors import FileCorrupt
from batchsim.jsonl import read_lines
from batchsim.stores import Store

ROOM = 32 << 20  # bytes of the contents of removed files that are kept, the latest first
MOST_REMOVALS = 10_000  # removed files whose time of removal is kept, the latest first


class KeptContents:
    """The contents in `store`, and those of removed files as far as ROOM allows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._removed: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._removed_at: OrderedDict[str, float] = OrderedDict()

    def record_removal(self, file_id: str, at: float) -> None:
        self._removed_at[file_id] = at
        if len(self._removed_at) > MOST_REMOVALS:
            self._removed_at.popitem(last=False)

    def existed(self, file_id: str, at: float) -> bool:
        """True if a file still existed at that time, as far as is known."""
        return self._removed_at.get(file_id, math.inf) > at

    def keep(self, file_id: str) -> None:
        """Keep a content that the store is about to drop, if it is whole and not too large."""
        try:
            stream = self._store.open_content(file_id)
        except (KeyError, FileCorrupt):
            return
        with stream:
            size = stream.seek(0, 2)
            if size > ROOM:
                return
            stream.seek(0)
            self._removed[file_id] = stream.read()
        self._size += size
        while self._size > ROOM:
            _, oldest = self._removed.popitem(last=False)
            self._size -= len(oldest)

    def lines(self, file_id: str | None) -> Iterator[bytes] | None:
        """Return the lines of a file, None when its content is not known any more.

        No file has no lines, which is known.
        """
        if file_id is None:
            return iter(())
        removed = self._removed.get(file_id)
        if removed is not None:
            return iter(removed.split(b"\n"))
        try:
            return _lines(self._store.open_content(file_id))
        except (KeyError, FileCorrupt):
            return None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        for line in read_lines(stream):
            yield line.content
