"""The contents of files, of those that were deleted or expired too, for whoever asks what was in them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO

from batchsim.jsonl import read_lines
from batchsim.stores import Store

ROOM = 32 << 20
"""Bytes of the contents of removed files that are remembered, the latest first."""

MOST_REMOVALS = 10_000
"""Removed files of which the time is remembered, the latest first."""


class RememberedContents:
    """The contents of files, of removed ones too as far as ROOM allows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._removed: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._removed_at: OrderedDict[str, float] = OrderedDict()

    def note_removal(self, file_id: str, at: float) -> None:
        """Remember when a file was deleted or expired."""
        self._removed_at[file_id] = at
        if len(self._removed_at) > MOST_REMOVALS:
            self._removed_at.popitem(last=False)

    def was_there(self, file_id: str, at: float) -> bool:
        """Whether a file was still there at that time, as far as is known."""
        return self._removed_at.get(file_id, math.inf) > at

    def before_drop(self, file_id: str) -> None:
        """Remember a content that is about to be dropped, if it is not too large."""
        try:
            stream = self._store.open_content(file_id)
        except KeyError:
            return
        with stream:
            size = stream.seek(0, 2)
            if size > ROOM:
                return
            stream.seek(0)
            self._removed[file_id] = stream.read()
        self._held += size
        while self._held > ROOM:
            _, oldest = self._removed.popitem(last=False)
            self._held -= len(oldest)

    def are_known(self, file_id: str | None) -> bool:
        """Whether `lines` knows the content of a file (which there is not when the id is None)."""
        return file_id is None or file_id in self._removed or file_id in self._store.contents()

    def lines(self, file_id: str | None) -> Iterator[bytes] | None:
        """The lines of a file; None when its content is not, or no longer, known."""
        if file_id is None:
            return iter(())
        removed = self._removed.get(file_id)
        if removed is not None:
            return iter(removed.split(b"\n"))
        try:
            stream = self._store.open_content(file_id)
        except KeyError:
            return None
        return self._read(stream)

    @staticmethod
    def _read(stream: BinaryIO) -> Iterator[bytes]:
        with stream:
            for line in read_lines(stream):
                yield line.content
