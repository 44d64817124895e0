"""The batches that hold a line: a join on disk, so that memory does not grow.

Theory of operation. A table has one entry for each custom_id of each batch, with the digest of its
body. It is a temporary database: SQLite keeps a few MiB of it in memory, and its file is gone with
the process. Each batch has a number, from 1.
"""

import sqlite3
from typing import Any, NamedTuple

from batchsim.errors import JobIncomplete

_CACHE_KIB = 16_384

_TABLE = """
CREATE TABLE members (
    custom_id TEXT NOT NULL,
    batch INTEGER NOT NULL,
    digest BLOB NOT NULL,
    is_in_input INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (custom_id, batch)
) WITHOUT ROWID
"""
_OF = "SELECT batch, digest, is_in_input FROM members WHERE custom_id = ? ORDER BY batch"
_ADD = "INSERT INTO members (custom_id, batch, digest) VALUES (?, ?, ?)"
_MARK = "UPDATE members SET is_in_input = 1 WHERE custom_id = ?"
_COUNT = "SELECT count(DISTINCT custom_id) FROM members WHERE NOT is_in_input"
_FIRST = "SELECT custom_id FROM members WHERE NOT is_in_input ORDER BY batch, custom_id LIMIT 1"


class Member(NamedTuple):
    """A line of a batch by the batch's number, and the digest of the line's body."""

    batch: int
    digest: bytes
    is_in_input: int = 0


class Members:
    """The lines of batches by custom_id. JobIncomplete is raised when the disk has no room."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._execute(f"PRAGMA {setting}")
        self._execute(_TABLE)
        self._execute("BEGIN")

    def close(self) -> None:
        self._database.close()

    def of(self, custom_id: str) -> list[Member]:
        """Return the lines with this custom_id, at most one for each batch, in their order."""
        return [Member(*each) for each in self._execute(_OF, custom_id)]

    def add(self, custom_id: str, batch: int, digest: bytes) -> None:
        self._execute(_ADD, custom_id, batch, digest)

    def mark(self, custom_id: str) -> None:
        self._execute(_MARK, custom_id)

    def unmarked(self) -> tuple[int, str | None]:
        """Return how many custom_ids are not marked, and one of them in the earliest batch."""
        ((count,),) = self._execute(_COUNT)
        return count, next((custom_id for (custom_id,) in self._execute(_FIRST)), None)

    def _execute(self, statement: str, *values: str | int | bytes) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise JobIncomplete(
                f"the lines of the batches cannot be stored: {error}",
                hint="export TMPDIR=... to a directory with room, then give the same command again",
            ) from error
