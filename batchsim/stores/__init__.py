"""Storage of the fake's files and batches.

In come records, small values of plain JSON types by key, and contents, streams of bytes by key. Out
come the same records and contents, from memory (`memory.MemoryStore`) or, in a later process too,
from a folder (`disk.DiskStore`). A store does not know the meaning of a key or a value.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, Self

Value = Mapping[str, Any]  # of strings, numbers, booleans, None, lists and mappings


class Draft(Protocol):
    """A content that is being written. Nobody else sees it until it is kept."""

    def write(self, data: bytes, /) -> object:
        """Append `data`."""
        ...

    def keep(self, key: str) -> None:
        """Store it under `key`, for good. Nothing may be written afterwards."""
        ...


class Contents(Protocol):
    """The contents of a store, without its records."""

    def open_content(self, key: str) -> BinaryIO:
        """See Store."""
        ...

    def draft(self) -> AbstractContextManager[Draft]:
        """See Store."""
        ...


class Store(ABC):
    """Records and contents of one owner at a time. May be used from any thread."""

    @property
    @abstractmethod
    def latest(self) -> float | None:
        """The latest time that was saved, in unix seconds; None in a new store."""

    @abstractmethod
    def records(self) -> Iterator[tuple[str, Value]]:
        """Return all records, in the order in which their keys were first put."""

    @abstractmethod
    def save(self, at: float, put: Mapping[str, Value], remove: Sequence[str] = ()) -> None:
        """Put and remove records and save the time `at`, in one transaction.

        Raises OSError when there is no room; then nothing has changed.
        """

    @abstractmethod
    def draft(self) -> AbstractContextManager[Draft]:
        """Begin a new content. It is dropped unless it is kept before the block ends."""

    @abstractmethod
    def open_content(self, key: str) -> BinaryIO:
        """Open a content for reading, seekable.

        Raises KeyError when there is none, and FileCorrupt when it is not what was written.
        """

    @abstractmethod
    def drop_content(self, key: str) -> None:
        """Drop a content, if there is one. Open streams of it stay readable."""

    @abstractmethod
    def contents(self) -> list[str]:
        """Return the keys of all contents."""

    @abstractmethod
    def close(self) -> None:
        """Release what the store holds open. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
