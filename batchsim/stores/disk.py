"""DiskStore: a folder that survives the process, at whatever point it is killed.

Theory of operation. Records are rows of one SQLite table, written in transactions that are on the
disk when `save` returns (write-ahead log, synchronous=FULL). Saving the time alone does not wait
for the disk: a killed process loses none. After a power cut the time may be that of the last
record, from which everything goes the same way again. A content is written to a temporary file,
synced, and renamed to its key. The owner keeps a content before it saves a record that names it. So
every named content exists. A content that no record names is garbage: opening deletes temporary
files, and the owner drops the other ones.

The size and the hash of a content are rows of a second table, written before the record that names
the content. A content is read and compared with them when it is first opened, and again when its
file has changed since. Nothing that was damaged, replaced or put there by others is ever served. A
store of version 1 has no hashes: they are taken when it is first opened.

    FOLDER/lock           held by the one owner
    FOLDER/records.sqlite
    FOLDER/contents/KEY
"""

import errno
import hashlib
import io
import json
import logging
import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from batchsim.errors import FileCorrupt, UsageError
from batchsim.jsonl import sync_folder
from batchsim.stores import Draft, Store, Value

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, value TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS time (only INTEGER PRIMARY KEY CHECK (only = 1), latest REAL NOT NULL);
CREATE TABLE IF NOT EXISTS contents (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, hash BLOB NOT NULL
) WITHOUT ROWID;
"""
_PUT = (
    "INSERT INTO records (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_SAVE_TIME = (
    "INSERT INTO time VALUES (1, ?)"
    " ON CONFLICT (only) DO UPDATE SET latest = max(latest, excluded.latest)"
)
_KEEP = (
    "INSERT INTO contents VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET size = excluded.size, hash = excluded.hash"
)
_TEMPORARY = ".tmp"
_PIECE = 1 << 20

_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""No link is followed, and no pipe is waited for."""

logger = logging.getLogger("batchsim.stores")
logger.addHandler(logging.NullHandler())


class _Identity(NamedTuple):
    """A file as the system knows it; every change of the file changes it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


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
        self._intact: dict[str, _Identity] = {}
        self._told: set[str] = set()
        try:
            for path in self._contents.glob(f"*{_TEMPORARY}"):
                path.unlink()
            self._database = self._open_database()
        except BaseException:
            self._owner.release()
            raise
        self._release = weakref.finalize(self, _release, self._database, self._owner)

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
        path = self.folder / "records.sqlite"
        self._check_place(path)
        try:
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.OperationalError as error:  # no permission, or too many open files
            raise UsageError(
                f"{self.folder} cannot be opened: {error}",
                hint="see that it can be read and written, and that `ulimit -n` allows four open "
                "files for each store",
            ) from None
        try:
            self._set_up(database)
        except UsageError:
            database.close()
            raise
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

    def _check_place(self, path: Path) -> None:
        for each in (path, self._contents):
            if each.is_symlink():
                raise UsageError(
                    f"{each} is a link, which no store has",
                    hint="see who could write there, then put back the original",
                )
        if not path.exists() or not path.stat().st_size:
            self._refuse_lost_records()

    def _set_up(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.DatabaseError("a newer version of batchsim wrote it")
        if version == 0:
            self._refuse_lost_records()
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        database.executescript(_SCHEMA)
        if version == 1:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_KEEP, self._hashes())
            database.execute("COMMIT")
        database.execute(f"PRAGMA user_version = {_VERSION}")

    def _refuse_lost_records(self) -> None:
        """Raise UsageError when there are contents: without their records they are not new."""
        kept = len(self._paths())
        if kept:
            raise UsageError(
                f"{self.folder / 'records.sqlite'} is lost: it is missing or empty, and "
                f"{self._contents} holds {kept:,} {'file' if kept == 1 else 'files'}",
                hint="put it back, with records.sqlite-wal if there was one, from a copy; or "
                "choose a new folder",
            )

    def _paths(self) -> list[Path]:
        return [path for path in self._contents.iterdir() if path.suffix != _TEMPORARY]

    def _hashes(self) -> Iterator[tuple[str, int, bytes]]:
        """Measure the contents that are there. One that is no plain file gets no row."""
        for path in self._paths():
            if stat.S_ISREG(path.lstat().st_mode):
                with path.open("rb", buffering=0) as stream:
                    yield path.name, *_measured(stream)

    @property
    def latest(self) -> float | None:
        with self._lock:
            row = self._database.execute("SELECT latest FROM time").fetchone()
        return None if row is None else float(row[0])

    def records(self) -> Iterator[tuple[str, Value]]:
        with self._lock:
            try:
                rows = self._database.execute(
                    "SELECT key, value FROM records ORDER BY place"
                ).fetchall()
                values = [(key, json.loads(value)) for key, value in rows]
            except (sqlite3.DatabaseError, ValueError) as error:
                raise UsageError(
                    f"{self.folder / 'records.sqlite'} is damaged: {error}",
                    hint="put it back from a copy, or choose a new folder",
                ) from None
        return iter(values)

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
                yield _DiskDraft(stream, path, self._keep)
            finally:
                path.unlink(missing_ok=True)

    def open_content(self, key: str) -> BinaryIO:
        path = self._contents / key
        with self._lock:
            row = self._database.execute(
                "SELECT size, hash FROM contents WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            if path.is_symlink() or path.exists():
                raise self._damaged(key, "nothing is known of it")
            raise KeyError(key)
        try:
            descriptor = os.open(path, _OPEN)
        except FileNotFoundError:
            raise self._damaged(key, "it is gone") from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise self._damaged(key, "something else is in its place") from None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._damaged(key, "something else is in its place")
        stream = io.FileIO(descriptor)
        try:
            self._check(key, stream, *row)
        except BaseException:
            stream.close()
            raise
        return stream

    def _check(self, key: str, stream: io.FileIO, size: int, digest: bytes) -> None:
        """Raise FileCorrupt unless the content is what was written."""
        facts = os.fstat(stream.fileno())
        if facts.st_size != size:
            raise self._damaged(key, f"it has {facts.st_size:,} bytes, and had {size:,}")
        identity = _identity(facts)
        if self._intact.get(key) == identity:
            return
        if _measured(stream) != (size, digest):
            raise self._damaged(key, "its bytes have changed")
        stream.seek(0)
        self._intact[key] = identity

    def _damaged(self, key: str, how: str) -> FileCorrupt:
        """Return the error, and log where the content is. Each content is logged once."""
        if key not in self._told:
            self._told.add(key)
            logger.error("%s is damaged: %s", self._contents / key, how)
        return FileCorrupt(
            f"The content of {key} is damaged on the simulator's disk: {how}.",
            hint=f"put {self._contents / key} back from a copy, or send the file again",
        )

    def _keep(self, key: str, path: Path, size: int, digest: bytes) -> None:
        target = self._contents / key
        path.replace(target)
        sync_folder(self._contents)
        with self._lock:
            try:
                with self._transaction("NORMAL"):  # the record that names it comes later, and waits
                    self._database.execute(_KEEP, (key, size, digest))
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            self._intact[key] = _identity(target.lstat())
            self._told.discard(key)

    def drop_content(self, key: str) -> None:
        with self._lock:
            # A row that a full disk keeps does no harm.
            with suppress(OSError), self._transaction("NORMAL"):
                self._database.execute("DELETE FROM contents WHERE key = ?", (key,))
            self._intact.pop(key, None)
            (self._contents / key).unlink(missing_ok=True)

    def contents(self) -> list[str]:
        return [path.name for path in self._paths()]

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


def _identity(facts: os.stat_result) -> _Identity:
    return _Identity(
        facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
    )


def _hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=32)


def _measured(stream: io.RawIOBase) -> tuple[int, bytes]:
    """Read a content to its end. Return its size and its hash."""
    size, digest = 0, _hash()
    while piece := stream.read(_PIECE):
        size += len(piece)
        digest.update(piece)
    return size, digest.digest()


class _DiskDraft:
    def __init__(
        self, stream: BinaryIO, path: Path, keep: Callable[[str, Path, int, bytes], None]
    ) -> None:
        self._stream = stream
        self._path = path
        self._keep = keep
        self._size = 0
        self._digest = _hash()

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._size += len(data)
        self._digest.update(data)

    def keep(self, key: str) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._keep(key, self._path, self._size, self._digest.digest())
