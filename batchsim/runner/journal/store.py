"""The journal on the disk: the job's intents and facts in the order in which they happened.

Theory of operation. The journal is a SQLite database with one append-only table. An entry is on
the disk (synchronous=FULL) when `append` returns; several appended together are there all or not
at all; nothing is ever changed or removed. The state of a job is the fold of its entries
(batchsim.runner.job.state), so a job whose process was killed is continued by reading them again.
Where the service ends with this process, as a simulated one in memory does, the disk is not waited
for: after a power failure there is nothing to continue.

There is one writer, which holds the lock of the job directory. Should a lock fail (it was copied,
or its holder was stopped and resumed), the epoch still holds: each opening takes the next number,
and only the latest opening can append.

A file that is damaged, foreign or of a newer version is reported and left unchanged.
"""

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
"""The application_id of our SQLite files: `bsjl` in ASCII."""

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


class _Open:
    _path: Path
    _database: sqlite3.Connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def _entries_after(self, seen: int) -> Iterator[tuple[int, float, Entry]]:
        query = "SELECT seq, at, kind, payload FROM entries WHERE seq > ? ORDER BY seq"
        try:
            for seq, at, kind, payload in self._database.execute(query, (seen,)):
                yield seq, at, from_payload(kind, payload)
        except (sqlite3.DatabaseError, ValueError) as error:
            raise _damaged(self._path, str(error)) from error


class Journal(_Open):
    """A journal that is open for writing.

    `path` is made when it does not exist, readable for its owner only. `rolls_back` keeps SQLite
    from sharing memory, which network file systems do not have. `outlasts_power` is false where
    entries need not be on the disk once they are appended.

    Raises JournalError when the file at `path` cannot be a journal of this version.
    """

    def __init__(
        self, path: Path, *, rolls_back: bool = False, outlasts_power: bool = True
    ) -> None:
        self._path = path
        self._mode = "DELETE" if rolls_back else "WAL"
        self._outlasts_power = outlasts_power
        _refuse_links(path)
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
            raise _damaged(path, str(error)) from error
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
            raise _damaged(self._path, verdict)
        run("BEGIN IMMEDIATE")
        run("CREATE TABLE IF NOT EXISTS holders (epoch INTEGER PRIMARY KEY)")
        run("INSERT INTO holders DEFAULT VALUES")
        (self._epoch,) = run("SELECT max(epoch) FROM holders").fetchone()
        run("COMMIT")

    def append(self, at: float, *entries: Entry, check: Callable[[], object] | None = None) -> None:
        """Write `entries`, all of them or none, and return once they are on the disk.

        `at` is the time in unix seconds. `check` is called in the same transaction; what it raises
        keeps the entries out. Raises JobIncomplete when the disk refuses them, JournalError when
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

    def checkpoint(self) -> None:
        """Move what was appended from the write-ahead log into the database itself.

        A log that is lost or damaged then takes later entries only. Raises JobIncomplete.
        """
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def entries(self) -> Iterator[tuple[float, Entry]]:
        """Yield every entry with its time. Raises JournalError when one is unreadable."""
        for _, at, entry in self._entries_after(0):
            yield at, entry

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


class JournalReader(_Open):
    """A journal that is only read, without a lock. Raises JournalError when it is not readable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        if not path.is_file():
            raise JournalError(f"there is no journal at {path}")
        _refuse_links(path)
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

    def news(self) -> Iterator[tuple[float, Entry]]:
        """Yield the entries that were added since the last call, each with its time."""
        for seq, at, entry in self._entries_after(self._seen):
            self._seen = seq
            yield at, entry


def _refuse_links(path: Path) -> None:
    """Raise JournalError where the journal, or a file that SQLite keeps beside it, is a link."""
    for end in ("", "-wal", "-shm", "-journal"):
        part = path.with_name(path.name + end)
        if part.is_symlink():
            raise JournalError(
                f"{part} is a link, which no runner made",
                hint="see who could write there, then put the original back",
            )


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write; in a read-only folder, to the file as it is."""
    address = path.absolute().as_uri()
    try:
        database = sqlite3.connect(f"{address}?mode=ro", uri=True)
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise JournalError(
                f"the journal {path} cannot be read without the right to write beside it",
                hint="read it as the user whose job it is",
            ) from None
        database = sqlite3.connect(f"{address}?immutable=1", uri=True)
    return database


def _damaged(path: Path, reason: str) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged: {reason}",
        hint="keep it: its batches may be paid for. Restore a copy, or look for them in the "
        "service's list of batches by their metadata key bs_run",
    )
