"""A shard's index as a file, which tells whether it is still what was written.

Behind the places stand two SHA-256: of the records of ours that belong to them, and of all that is
before it in the file. So an index that was changed or cut is noticed where it is read, and so are
records that are not those of the index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from batchsim.runner.directory import JobDirectory
from batchsim.runner.places import Index
from batchsim.runner.shard_entries import Source

_DIGEST = hashlib.sha256().digest_size


class Records:
    """The records of ours for a shard, on their way to `write`, and their hash."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> None:
        """Append `content`."""
        self._write(content)
        self._hash.update(content)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what was written so far."""
        return self._hash.digest()


def write_index(stream: BinaryIO, index: Index, records: Records) -> None:
    """Write the file of `index`, whose places in the records are in `records`."""
    content = index.to_bytes() + records.digest
    stream.write(content + hashlib.sha256(content).digest())


def read_index(directory: JobDirectory, shard: int) -> Index:
    """The index of a shard. Raises OSError without one, ValueError where it is not what was written."""
    return _read(directory, shard)[0]


def is_whole(directory: JobDirectory, shard: int, lines: int) -> bool:
    """Whether the index of so many lines, and the records that belong to it, are what was written."""
    try:
        index, expected = _read(directory, shard)
    except (FileNotFoundError, ValueError):
        return False
    try:
        with directory.file(shard, Source.RECORDS).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
    except FileNotFoundError:
        digest = hashlib.sha256()  # of no records at all
    return len(index) == lines and digest.digest() == expected


def _read(directory: JobDirectory, shard: int) -> tuple[Index, bytes]:
    content = directory.index(shard).read_bytes()
    before, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(before).digest() != digest:
        raise ValueError("its index is damaged")
    return Index.from_bytes(before[:-_DIGEST]), before[-_DIGEST:]
