"""The custom_ids of a job's lines, spooled by planning so that collecting need not read the input.

Theory of operation. Planning parses every line anyway, and collecting needs only their ids, in
order. So planning spools them for the rest of the process, in pieces of JSON and, beyond a few of
them, in a temporary file. They are no part of the job: a process that continues a job has none and
reads the ids from the input, which is checked against the plan on the way.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from batchsim.stores.spool import Spool

PIECE = 1_000
"""About so many ids of a shard wait in memory, if they are not unreasonably long."""

LONG = 64
"""An id of more characters waits for no others."""


class _Piece(NamedTuple):
    start: int
    length: int


class CustomIdSpool:
    def __init__(self) -> None:
        self._spool = Spool()
        self._pieces: dict[int, list[_Piece]] = defaultdict(list)
        self._waiting: dict[int, list[str]] = defaultdict(list)

    def add(self, shard: int, custom_ids: list[str]) -> None:
        waiting = self._waiting[shard]
        waiting += custom_ids
        if len(waiting) >= PIECE or max(map(len, custom_ids)) > LONG:
            self.finish(shard)

    def finish(self, shard: int) -> None:
        """Write the ids of the shard that wait in memory: none will be added soon."""
        waiting = self._waiting.pop(shard, None)
        if waiting:
            piece = orjson.dumps(waiting)
            self._pieces[shard].append(_Piece(self._spool.append(piece), len(piece)))

    def holds(self, shard: int) -> bool:
        return shard in self._pieces

    def of_shard(self, shard: int) -> Iterator[str]:
        for piece in self._pieces[shard]:
            yield from orjson.loads(self._spool.read(piece.start, piece.length))
