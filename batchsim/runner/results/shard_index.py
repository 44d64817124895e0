"""A shard's index: for each line where its result lies and how it ended, kept in a file.

The file holds two 64-bit numbers per line, in the machine's byte order: the offset of the result,
and, from the highest bit on, its length (40 bits), its status code plus one (16; 0 for none), one
bit for "retriable", the outcome (4), and the result file (3). A line without a result has zeros.

Two SHA-256 follow: of the placeholders that belong to the index, and of everything before it in the
file. So a changed or cut index is noticed when it is read, and so are other placeholders.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import BinaryIO, NamedTuple

from batchsim.runner.job import JobDirectory
from batchsim.runner.journal.shard_entries import Source
from batchsim.runner.results.outcomes import Ending, Outcome

SOURCES = tuple(Source)
"""The result files by the number that an index gives them."""

HTTP_OK = 200

LENGTH = 24
"""The bit of a line's second number from which on its length stands."""

_STATUS = 0xFFFF
_HIGHEST_STATUS = _STATUS - 1
_SOURCE = 7
_RETRIABLE = 1 << 7
_OUTCOME = 0xF << 3
_ENDING = _RETRIABLE | _OUTCOME
_ENDING_AND_STATUS = _STATUS << 8 | _ENDING
_ENDINGS = {
    outcome << 3 | (_RETRIABLE if is_retriable else 0): Ending(outcome, is_retriable)
    for outcome in Outcome
    for is_retriable in (False, True)
}

GOOD = {
    source: (HTTP_OK + 1) << 8 | Outcome.OK << 3 | number for number, source in enumerate(SOURCES)
}
"""The second number of a good answer with status code 200 in each file, but for its length."""


class ResultLocation(NamedTuple):
    offset: int
    length: int
    source: Source
    ending: Ending
    status_code: int | None


class ShardIndex:
    """The result locations of a shard's lines, by position in the shard (from 0)."""

    def __init__(self, offsets: array[int], packed: array[int]) -> None:
        self.offsets = offsets
        self.packed = packed
        """The second number of each line; 0 for a line without a result."""

    @classmethod
    def empty(cls, lines: int) -> ShardIndex:
        return cls(array("Q", bytes(8 * lines)), array("Q", bytes(8 * lines)))

    @classmethod
    def from_bytes(cls, content: bytes) -> ShardIndex:
        """Return the index that `to_bytes` wrote. Raises ValueError for an odd length."""
        numbers = array("Q")
        numbers.frombytes(content)
        return cls(numbers[0::2], numbers[1::2])

    def to_bytes(self) -> bytes:
        numbers = array("Q", bytes(16 * len(self)))
        numbers[0::2], numbers[1::2] = self.offsets, self.packed
        return numbers.tobytes()

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, begin: int, end: int) -> ShardIndex:
        return ShardIndex(self.offsets[begin:end], self.packed[begin:end])

    def holds(self, position: int) -> bool:
        return self.packed[position] != 0

    def put(self, position: int, location: ResultLocation) -> None:
        code = location.status_code
        status = code + 1 if code is not None and 0 <= code <= _HIGHEST_STATUS else 0
        outcome, is_retriable = location.ending
        self.offsets[position] = location.offset
        self.packed[position] = (
            location.length << LENGTH
            | status << 8
            | (_RETRIABLE if is_retriable else 0)
            | outcome << 3
            | SOURCES.index(location.source)
        )

    def at(self, position: int) -> ResultLocation:
        """Return where the line's result lies. Raises KeyError when it has none."""
        packed = self.packed[position]
        return ResultLocation(
            self.offsets[position],
            packed >> LENGTH,
            SOURCES[packed & _SOURCE],
            ending(packed),
            status_code(packed),
        )

    def lengths(self) -> list[int]:
        return [packed >> LENGTH for packed in self.packed]

    def sources(self) -> set[Source]:
        return {SOURCES[number] for number in {packed & _SOURCE for packed in self.packed}}

    def ending_codes(self) -> list[int]:
        """Return a number for each line, for `ending` and `status_code`."""
        return [packed & _ENDING_AND_STATUS for packed in self.packed]

    def counts(self) -> Counter[int]:
        """Return how many lines have each ending code; lines without a result are left out."""
        counts = Counter(self.ending_codes())
        del counts[0]
        return counts


def ending(packed: int) -> Ending:
    return _ENDINGS[packed & _ENDING]


def outcomes(counts: Mapping[int, int]) -> dict[str, int]:
    """Return how many lines have each outcome, by word, from counts by ending code."""
    words = dict.fromkeys((outcome.word for outcome in Outcome), 0)
    for code, count in counts.items():
        words[ending(code).outcome.word] += count
    return words


def status_code(packed: int) -> int | None:
    status = packed >> 8 & _STATUS
    return status - 1 if status else None


_DIGEST = hashlib.sha256().digest_size


class PlaceholderWriter:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self._write(content)
        self._hash.update(content)

    @property
    def digest(self) -> bytes:
        return self._hash.digest()


def write_index(stream: BinaryIO, index: ShardIndex, placeholders: PlaceholderWriter) -> None:
    content = index.to_bytes() + placeholders.digest
    stream.write(content + hashlib.sha256(content).digest())


def read_index(directory: JobDirectory, shard: int) -> ShardIndex:
    """Return the index of a shard. Raises OSError without one, ValueError for a damaged one."""
    return _read(directory, shard)[0]


def is_whole(directory: JobDirectory, shard: int, lines: int) -> bool:
    """True when the index of so many lines and its placeholders are what was written."""
    try:
        index, expected = _read(directory, shard)
    except (FileNotFoundError, ValueError):
        return False
    try:
        with directory.file(shard, Source.RECORDS).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
    except FileNotFoundError:
        digest = hashlib.sha256()  # of no placeholders at all
    return len(index) == lines and digest.digest() == expected


def _read(directory: JobDirectory, shard: int) -> tuple[ShardIndex, bytes]:
    content = directory.index(shard).read_bytes()
    before, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(before).digest() != digest:
        raise ValueError("its index is damaged")
    return ShardIndex.from_bytes(before[:-_DIGEST]), before[-_DIGEST:]
