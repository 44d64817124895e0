"""DiskStore: a folder that survives the process, at whatever point it is killed.

Theory of operation. Records are rows of one SQLite table, written in transactions that are on the
disk when `save` returns (write-ahead log, synchronous=FULL). Saving the time alone does not wait
for the disk: a killed process loses none. After a power cut the time may be that of the last
record, from which everything goes the same way again. A content is written to a temporary file,
synced, and renamed to its key. The owner keeps a content before it saves a record that names it. So
every named content exists. A content that no record names is garbage: opening deletes temporary
files, and the owner drops the other ones.

    FOLDER/lock           held by the one owner
    FOLDER/records.sqlite
    FOLDER/contents/KEY
"""

import errno
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from batchsim.errors import UsageError
from batchsim.jsonl import sync_folder
from batchsim.stores import Draft, Store, Value

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, value TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS time (only INTEGER PRIMARY KEY CHECK (only = 1), latest REAL NOT NULL);
"""
_PUT = (
    "INSERT INTO records (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_SAVE_TIME = (
    "INSERT INTO time VALUES (1, ?)"
    " ON CONFLICT (only) DO UPDATE SET latest = max(latest, excluded.latest)"
)
_TEMPORARY = ".tmp"


class DiskStore(Store):
    """Records and contents in a folder of their own, which is created if it is missing.

    Raises UsageError when another owner has the folder open, or when it cannot be a store: it
    cannot be written, holds something else, or was written by a newer version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._contents = self.folder / "contents"
        # Not bound to a thread: another thread than the one that opened the store may close it.
        self._owner = FileLock(self.folder / "lock", timeout=0, thread_local=False)
        self._take_ownership()
        self._lock = threading.Lock()
        self._drafts = 0
        try:
            self._database = self._open_database()
        except BaseException:
            self._owner.release()
            raise
        self._release = weakref.finalize(self, _release, self._database, self._owner)
        for path in self._contents.glob(f"*{_TEMPORARY}"):
            path.unlink()

    def _take_ownership(self) -> None:
        try:
            self._contents.mkdir(parents=True, exist_ok=True)
            self._owner.acquire()
        except OSError as error:
            if isinstance(error, Timeout):
                raise _in_use(self.folder) from None
            raise UsageError(
                f"{self.folder} cannot hold a store: {error.strerror}",
                hint="choose a folder that can be made and written",
            ) from None

    def _open_database(self) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(
                self.folder / "records.sqlite", isolation_level=None, check_same_thread=False
            )
        except sqlite3.OperationalError as error:  # no permission, or too many open files
            raise UsageError(
                f"{self.folder} cannot be opened: {error}",
                hint="see that it can be read and written, and that `ulimit -n` allows four open "
                "files for each store",
            ) from None
        try:
            database.execute("PRAGMA journal_mode = WAL")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise sqlite3.DatabaseError("a newer version of batchsim wrote it")
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.OperationalError as error:  # the disk is full, failing or read-only
            database.close()
            raise UsageError(
                f"{self.folder} cannot be opened: {error}",
                hint="see that there is room and that it can be written; what it holds is unharmed",
            ) from None
        except sqlite3.DatabaseError as error:
            database.close()
            raise UsageError(
                f"{self.folder} does not hold a store that can be read: {error}",
                hint="choose a new folder, or remove this one",
            ) from None
        return database

    @property
    def latest(self) -> float | None:
        with self._lock:
            row = self._database.execute("SELECT latest FROM time").fetchone()
        return None if row is None else float(row[0])

    def records(self) -> Iterator[tuple[str, Value]]:
        with self._lock:
            rows = self._database.execute(
                "SELECT key, value FROM records ORDER BY place"
            ).fetchall()
        return ((key, json.loads(value)) for key, value in rows)

    def save(self, at: float, put: Mapping[str, Value], remove: Sequence[str] = ()) -> None:
        """See Store. The transaction is on the disk when this returns."""
        rows = [(key, json.dumps(value)) for key, value in put.items()]
        with self._lock, self._transaction("FULL" if rows or remove else "NORMAL"):
            self._database.executemany(_PUT, rows)
            self._database.executemany(
                "DELETE FROM records WHERE key = ?", [(key,) for key in remove]
            )
            self._database.execute(_SAVE_TIME, (at,))

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[None]:
        try:
            self._database.execute(f"PRAGMA synchronous = {synchronous}")
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            if self._database.in_transaction:  # SQLite itself may have ended it
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise self._failed(error) from error
            raise

    def _failed(self, error: sqlite3.OperationalError) -> OSError:
        """Return the error of the disk, as writing a content raises it."""
        is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        number = errno.ENOSPC if is_full else errno.EIO
        return OSError(number, str(error), str(self.folder))

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        with self._lock:
            self._drafts += 1
            path = self._contents / f"{self._drafts}{_TEMPORARY}"
        with path.open("xb") as stream:
            try:
                yield _DiskDraft(stream, path)
            finally:
                path.unlink(missing_ok=True)

    def open_content(self, key: str) -> BinaryIO:
        try:
            return (self._contents / key).open("rb", buffering=0)
        except FileNotFoundError:
            raise KeyError(key) from None

    def drop_content(self, key: str) -> None:
        (self._contents / key).unlink(missing_ok=True)

    def contents(self) -> list[str]:
        return [path.name for path in self._contents.iterdir() if path.suffix != _TEMPORARY]

    def close(self) -> None:
        """Close the database and let another owner open the folder."""
        self._release()


def _in_use(folder: Path) -> UsageError:
    return UsageError(
        f"{folder} is in use by another process or another DiskStore",
        hint="close the other one, or choose another folder",
    )


def _release(database: sqlite3.Connection, owner: FileLock) -> None:
    database.close()
    owner.release()


class _DiskDraft:
    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path
        self.write = stream.write

    def keep(self, key: str) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._path.replace(self._path.with_name(key))
        sync_folder(self._path.parent)
