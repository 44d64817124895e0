"""Where the fake's files and batches rest. Stores keep; they never decide.

A store keeps two things. Records are small: a key, and a value of plain JSON types. Contents are
large: a key, and bytes. What the keys and values mean is the business of whoever puts them there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, Self

Value = Mapping[str, Any]
"""What a record holds: strings, numbers, booleans, None, lists and mappings of them."""


class Draft(Protocol):
    """A content being written. Until it is kept nobody else can see it."""

    def write(self, data: bytes, /) -> object:
        """Append `data`."""
        ...

    def keep(self, key: str) -> None:
        """Make it the whole content under `key`, for good. Nothing may be written afterwards."""
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
    """Keeps records and contents; may be used from any thread, by one owner at a time."""

    @property
    @abstractmethod
    def latest(self) -> float | None:
        """The latest time that was ever saved, in unix seconds; None in a new store."""

    @abstractmethod
    def records(self) -> Iterator[tuple[str, Value]]:
        """All records, in the order in which their keys were first put."""

    @abstractmethod
    def save(self, at: float, put: Mapping[str, Value], remove: Sequence[str] = ()) -> None:
        """Put and remove records and note the time `at`: all of it or, after a crash, none.

        Raises OSError when there is no room for it: none of it then.
        """

    @abstractmethod
    def draft(self) -> AbstractContextManager[Draft]:
        """A new content to be written; dropped unless it is kept before the block ends."""

    @abstractmethod
    def open_content(self, key: str) -> BinaryIO:
        """A content for reading, seekable. Raises KeyError when there is none under `key`."""

    @abstractmethod
    def drop_content(self, key: str) -> None:
        """Forget a content; who is reading it reads on. Does nothing when there is none."""

    @abstractmethod
    def contents(self) -> list[str]:
        """The keys of all contents."""

    @abstractmethod
    def close(self) -> None:
        """Release what the store holds open. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
