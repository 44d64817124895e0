"""What is due next.

Everything that will happen by itself stands here with its due time: at most one entry for each
batch (the end of its present status) and for each file (its expiry). Entries come out by due time;
at the same time files before batches, and batches by number, so that history never depends on how
time was cut into pieces.
"""

from __future__ import annotations

import heapq
import math

FILES, BATCHES = 0, 1


class Agenda:
    """Due times by id."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, str]] = []
        self._due: dict[str, float] = {}

    def plan(self, identifier: str, due: float, kind: int, number: int = 0) -> None:
        """Let `identifier` be due at `due` instead of when it was; infinity means never."""
        self._due[identifier] = due
        if due < math.inf:
            heapq.heappush(self._heap, (due, kind, number, identifier))

    def drop(self, identifier: str) -> None:
        """Let nothing be due for `identifier` any more."""
        self._due.pop(identifier, None)

    def first(self, now: float) -> tuple[float, str] | None:
        """What is due first of all that is due by `now`, and when. It stays until planned anew."""
        while self._heap and self._heap[0][0] <= now:
            due, _, _, identifier = self._heap[0]
            if self._due.get(identifier) == due:
                return due, identifier
            heapq.heappop(self._heap)
        return None
