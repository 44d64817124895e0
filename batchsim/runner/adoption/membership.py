"""Which of several batches hold a line: a join on the disk, in memory that does not grow.

Theory of operation. A table has one entry for each custom_id of each batch, with the digest of its
line. It lies in a temporary database, of which SQLite keeps a few MiB in memory and whose file is
gone with the process. Each batch has a number, from 1.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from batchsim.errors import JobIncomplete

_CACHE_KIB = 16_384

_TABLE = """
CREATE TABLE members (
    custom_id TEXT NOT NULL,
    batch INTEGER NOT NULL,
    digest BLOB NOT NULL,
    is_placed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (custom_id, batch)
) WITHOUT ROWID
"""
_OF = "SELECT batch, digest, is_placed FROM members WHERE custom_id = ? ORDER BY batch"
_ADD = "INSERT INTO members (custom_id, batch, digest) VALUES (?, ?, ?)"
_PLACE = "UPDATE members SET is_placed = 1 WHERE custom_id = ?"
_COUNT = "SELECT count(DISTINCT custom_id) FROM members WHERE NOT is_placed"
_FIRST = "SELECT custom_id FROM members WHERE NOT is_placed ORDER BY batch, custom_id LIMIT 1"


class Member(NamedTuple):
    """A line of a batch: the batch's number, the digest of the line, and whether it has its place."""

    batch: int
    digest: bytes
    is_placed: int = 0


class Members:
    """The lines of batches by their custom_ids.

    Every method raises JobIncomplete when the temporary directory has no room.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._execute(f"PRAGMA {setting}")
        self._execute(_TABLE)
        self._execute("BEGIN")

    def close(self) -> None:
        """Give the room back."""
        self._database.close()

    def of(self, custom_id: str) -> list[Member]:
        """The lines with this custom_id, one for each batch that holds one, in their order."""
        return [Member(*each) for each in self._execute(_OF, custom_id)]

    def add(self, custom_id: str, batch: int, digest: bytes) -> None:
        """Take in a line that the batch did not hold yet."""
        self._execute(_ADD, custom_id, batch, digest)

    def place(self, custom_id: str) -> None:
        """Let the lines with this custom_id have their place."""
        self._execute(_PLACE, custom_id)

    def without_place(self) -> tuple[int, str | None]:
        """How many custom_ids have no place, and one of the first batch that has such."""
        ((count,),) = self._execute(_COUNT)
        return count, next((custom_id for (custom_id,) in self._execute(_FIRST)), None)

    def _execute(self, statement: str, *values: str | int | bytes) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise JobIncomplete(
                f"the lines of the batches cannot be put aside: {error}",
                hint="export TMPDIR=... to a directory with room, then give the same command again",
            ) from error
