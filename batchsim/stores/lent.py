"""Stores on the disk that are open only while they are used, a limited number at a time.

Theory of operation. An open DiskStore keeps four files open. A server has one store for each key
that it ever saw. So a LentStore opens its DiskStore when it is asked for something, and the one
that was not used for the longest time is closed when there are too many. A folder is made by the
first write: a key that only reads leaves nothing behind.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batchsim.errors import Unavailable, UsageError
from batchsim.stores import Draft, Store, Value
from batchsim.stores.disk import DiskStore

MOST_OPEN = 32

logger = logging.getLogger("batchsim.stores")


class Lender:
    """Opens and closes the stores. May be used from any thread."""

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._open: OrderedDict[Path, DiskStore] = OrderedDict()
        self._users: dict[Path, int] = {}
        self._lock = threading.Lock()
        self.is_serving = False
        """Clients wait for answers: they are told no path, and that nothing was changed."""

    @contextmanager
    def lend(self, folder: Path) -> Iterator[DiskStore]:
        with self._lock:
            store = self._open.get(folder)
            if store is None:
                self._close_some(self._most - 1)
                store = self._open[folder] = self._opened(folder)
            self._open.move_to_end(folder)
            self._users[folder] = self._users.get(folder, 0) + 1
        try:
            yield store
        finally:
            with self._lock:
                self._users[folder] -= 1
                if not self._users[folder]:
                    del self._users[folder]
                self._close_some(self._most)

    def _opened(self, folder: Path) -> DiskStore:
        try:
            return DiskStore(folder)
        except UsageError as error:
            if not self.is_serving:
                raise
            logger.error("%s", error.message)
            raise Unavailable(
                "The server cannot open the data of this key now. Its log says why."
            ) from None

    def take_back(self, folder: Path) -> None:
        with self._lock:
            store = self._open.pop(folder, None)
            if store is not None:
                store.close()

    def _close_some(self, most: int) -> None:
        for folder in [each for each in self._open if each not in self._users]:
            if len(self._open) <= most:
                return
            self._open.pop(folder).close()


class LentStore(Store):
    """The store in `folder`, which need not exist."""

    def __init__(self, lender: Lender, folder: Path) -> None:
        self._lender = lender
        self._folder = folder
        self._latest: float | None = None
        self._is_made = folder.is_dir()

    @property
    def latest(self) -> float | None:
        if not self._is_made:
            return self._latest
        with self._lender.lend(self._folder) as store:
            return store.latest

    def records(self) -> Iterator[tuple[str, Value]]:
        if not self._is_made:
            return iter(())
        with self._lender.lend(self._folder) as store:
            return store.records()

    def save(self, at: float, put: Mapping[str, Value], remove: Sequence[str] = ()) -> None:
        if not self._is_made and not put and not remove:
            self._latest = at if self._latest is None else max(self._latest, at)
            return
        with self._lender.lend(self._folder) as store:
            self._is_made = True
            store.save(at, put, remove)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        with self._lender.lend(self._folder) as store:
            self._is_made = True
            with store.draft() as draft:
                yield draft

    def open_content(self, key: str) -> BinaryIO:
        if not self._is_made:
            raise KeyError(key)
        with self._lender.lend(self._folder) as store:
            return store.open_content(key)

    def drop_content(self, key: str) -> None:
        if self._is_made:
            with self._lender.lend(self._folder) as store:
                store.drop_content(key)

    def contents(self) -> list[str]:
        if not self._is_made:
            return []
        with self._lender.lend(self._folder) as store:
            return store.contents()

    def close(self) -> None:
        self._lender.take_back(self._folder)
