"""The journal: what the job intended and what came of it, in the order in which it happened.

Theory of operation. The journal is a SQLite database with one append-only table. An entry is on
the disk (synchronous=FULL) when `append` returns, and several appended together are there all or
not at all; nothing is ever changed or removed. What the job is at any moment is the fold of its
entries (batchsim.runner.job.state), so a process that was killed is continued by simply reading them
again. Where the service is gone with this process, as a simulated one in memory is, the disk is not
waited for: after a power failure there is nothing to go on with.

There is one writer: who opens a journal holds the lock of the job directory. Should a lock fail (it
was copied, or its holder was stopped and thawed), the epoch still holds: each opening takes the
next number, and only the latest opening can append.

A file that is damaged, foreign or of a newer version is reported and left as it is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from batchsim.errors import BatchsimError, JobIncomplete, JournalError
from batchsim.jsonl import sync_folder
from batchsim.runner.journal.codec import from_payload, kind_of, to_payload
from batchsim.runner.journal.job_entries import Entry, ShardEntry

APPLICATION = 0x62736A6C
"""What marks a SQLite file as a journal of ours: `bsjl` in ASCII."""

VERSION = 1

_TABLE = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    shard INTEGER,
    payload TEXT NOT NULL
)
"""


class Journal:
    """An open journal. Raises JournalError when the file at `path` cannot be one of this version.

    It is a context manager that closes the database. `path` is made when it does not exist, for us
    alone to read. `rolls_back` keeps SQLite from sharing memory, which no network file system has.
    `outlasts_power` is false where entries need not be on the disk once they are appended.
    """

    def __init__(
        self, path: Path, *, rolls_back: bool = False, outlasts_power: bool = True
    ) -> None:
        self._path = path
        self._mode = "DELETE" if rolls_back else "WAL"
        self._outlasts_power = outlasts_power
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(path, isolation_level=None)
        except (sqlite3.OperationalError, IsADirectoryError, PermissionError) as error:
            raise JournalError(
                f"the journal {path} cannot be opened: {error}",
                hint="see that the job directory is yours to read and write",
            ) from error
        try:
            self._open()
        except sqlite3.OperationalError as error:  # the disk is full, failing or read-only
            self.close()
            raise self._unwritable(error) from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._damaged(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        run = self._database.execute
        (application,) = run("PRAGMA application_id").fetchone()
        (version,) = run("PRAGMA user_version").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if application not in (APPLICATION, 0) or (tables and application == 0):
            raise JournalError(
                f"{self._path} is a database of another program",
                hint="name another job directory with --job",
            )
        if version > VERSION:
            raise JournalError(
                f"{self._path} was written by a newer batchsim (journal version {version})",
                hint="continue the job with that version",
            )
        run(f"PRAGMA journal_mode = {self._mode}")
        run(f"PRAGMA synchronous = {'FULL' if self._outlasts_power else 'OFF'}")
        run("PRAGMA fullfsync = ON")
        run("PRAGMA checkpoint_fullfsync = ON")
        if not tables:
            run("BEGIN IMMEDIATE")
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {VERSION}")
            run(_TABLE)
            run("COMMIT")
            if self._outlasts_power:
                sync_folder(self._path.parent)
        (verdict,) = run("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(verdict)
        run("BEGIN IMMEDIATE")
        run("CREATE TABLE IF NOT EXISTS holders (epoch INTEGER PRIMARY KEY)")
        run("INSERT INTO holders DEFAULT VALUES")
        (self._epoch,) = run("SELECT max(epoch) FROM holders").fetchone()
        run("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; nothing can be appended any more."""
        self._database.close()

    def append(self, at: float, *entries: Entry, check: Callable[[], object] | None = None) -> None:
        """Write `entries`, all of them or none, and return once they are on the disk.

        `at` is the time in unix seconds. `check` is called in the same transaction; what it raises
        keeps them out. Raises JobIncomplete when the disk does not take them, JournalError when
        another process has opened the journal since.
        """
        rows = [
            (
                at,
                kind_of(entry),
                entry.shard if isinstance(entry, ShardEntry) else None,
                to_payload(entry),
            )
            for entry in entries
        ]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._check_epoch()
            if check is not None:
                check()
            self._database.executemany(
                "INSERT INTO entries (at, kind, shard, payload) VALUES (?, ?, ?, ?)", rows
            )
            self._database.execute("COMMIT")
        except BatchsimError:
            self._roll_back()
            raise
        except sqlite3.Error as error:
            self._roll_back()
            raise self._unwritable(error) from error

    def entries(self) -> Iterator[tuple[float, Entry]]:
        """Every entry with its time, from the first. Raises JournalError when one is unreadable."""
        try:
            rows = self._database.execute("SELECT at, kind, payload FROM entries ORDER BY seq")
            for at, kind, payload in rows:
                yield at, from_payload(kind, payload)
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _check_epoch(self) -> None:
        (epoch,) = self._database.execute("SELECT max(epoch) FROM holders").fetchone()
        if epoch != self._epoch:
            raise JournalError(
                f"another runner has taken over the job of {self._path}",
                hint="this one was stopped or its lock was copied; let the other go on",
            )

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _unwritable(self, error: sqlite3.Error) -> JobIncomplete:
        return JobIncomplete(
            f"the journal {self._path} cannot be written: {error}",
            hint="make room on the disk, then give the same command again",
        )

    def _damaged(self, reason: str) -> JournalError:
        return _damaged(self._path, reason)


class JournalReader:
    """A journal that is only looked at: nobody's lock is needed, and its runner may be at work.

    It is a context manager that closes the database. Raises JournalError when there is no readable
    journal of this version at `path`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        if not path.is_file():
            raise JournalError(f"there is no journal at {path}")
        try:
            self._database = _opened_to_read(path)
        except sqlite3.DatabaseError as error:
            raise _damaged(path, str(error)) from error
        try:
            (application,) = self._database.execute("PRAGMA application_id").fetchone()
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION or version > VERSION:
                raise JournalError(f"{path} is no journal that this version of batchsim can read")
        except sqlite3.DatabaseError as error:
            self.close()
            raise _damaged(path, str(error)) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def news(self) -> Iterator[tuple[float, Entry]]:
        """The entries that were added since the last call, each with its time, from the first."""
        try:
            rows = self._database.execute(
                "SELECT seq, at, kind, payload FROM entries WHERE seq > ? ORDER BY seq",
                (self._seen,),
            )
            for seq, at, kind, payload in rows:
                self._seen = seq
                yield at, from_payload(kind, payload)
        except (sqlite3.DatabaseError, ValueError) as error:
            raise _damaged(self._path, str(error)) from error


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. In a folder that cannot either, the file is taken as it is."""
    address = path.absolute().as_uri()
    try:
        database = sqlite3.connect(f"{address}?mode=ro", uri=True)
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise JournalError(
                f"the journal {path} cannot be read without the right to write beside it",
                hint="look at it as the user whose job it is",
            ) from None
        database = sqlite3.connect(f"{address}?immutable=1", uri=True)
    return database


def _damaged(path: Path, reason: str) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged: {reason}",
        hint="keep it: its batches may be paid for. Restore a copy, or look for them in the "
        "service's list of batches by their metadata key bs_run",
    )
