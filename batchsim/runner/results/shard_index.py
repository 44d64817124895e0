"""A shard's index: for each of its lines where its result lies, and what became of it.

The file holds two 64-bit numbers per line, in the machine's byte order: the offset of the result,
and, from the highest bit on, its length (40 bits), its status code plus one (16; 0 for none), one
bit for "worth another try", the outcome (4), and the file (3). A line without a result has zeros.

A shard's index as a file, which tells whether it is still what was written.

Behind the places stand two SHA-256: of the records of ours that belong to them, and of all that is
before it in the file. So an index that was changed or cut is noticed where it is read, and so are
records that are not those of the index.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.journal.shard_entries import Source
from batchsim.runner.results.outcomes import Outcome, Verdict

SOURCES = tuple(Source)
"""The files by the number that an index gives them."""

HTTP_OK = 200

LENGTH = 24
"""The bit of a line's second number from which on its length stands."""

_STATUS = 0xFFFF
_HIGHEST_STATUS = _STATUS - 1
_SOURCE = 7
_AGAIN = 1 << 7
_OUTCOME = 0xF << 3
_VERDICT = _AGAIN | _OUTCOME
_ENDING = _STATUS << 8 | _VERDICT
_VERDICTS = {
    outcome << 3 | (_AGAIN if again else 0): Verdict(outcome, again)
    for outcome in Outcome
    for again in (False, True)
}

GOOD = {
    source: (HTTP_OK + 1) << 8 | Outcome.OK << 3 | number for number, source in enumerate(SOURCES)
}
"""The second number of a good answer with status code 200 in each file, but for its length."""


class Place(NamedTuple):
    """Where a line's result lies, and what it says."""

    offset: int
    length: int
    source: Source
    verdict: Verdict
    status_code: int | None


class Index:
    """The places of a shard's lines, by their positions in the shard (from 0)."""

    def __init__(self, offsets: array[int], packed: array[int]) -> None:
        self.offsets = offsets
        self.packed = packed
        """What the second number of a line holds, 0 where it has no place."""

    @classmethod
    def empty(cls, lines: int) -> Index:
        """An index of so many lines, none of which has a place yet."""
        return cls(array("Q", bytes(8 * lines)), array("Q", bytes(8 * lines)))

    @classmethod
    def from_bytes(cls, content: bytes) -> Index:
        """The index that `to_bytes` wrote. Raises ValueError when its length cannot be."""
        numbers = array("Q")
        numbers.frombytes(content)
        return cls(numbers[0::2], numbers[1::2])

    def to_bytes(self) -> bytes:
        """As it is kept in a file."""
        numbers = array("Q", bytes(16 * len(self)))
        numbers[0::2], numbers[1::2] = self.offsets, self.packed
        return numbers.tobytes()

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, begin: int, end: int) -> Index:
        """The lines from position `begin` to before `end`, as far as there are any."""
        return Index(self.offsets[begin:end], self.packed[begin:end])

    def holds(self, position: int) -> bool:
        """Whether the line has a place."""
        return self.packed[position] != 0

    def put(self, position: int, place: Place) -> None:
        """Let the line have that place."""
        code = place.status_code
        status = code + 1 if code is not None and 0 <= code <= _HIGHEST_STATUS else 0
        outcome, again = place.verdict
        self.offsets[position] = place.offset
        self.packed[position] = (
            place.length << LENGTH
            | status << 8
            | (_AGAIN if again else 0)
            | outcome << 3
            | SOURCES.index(place.source)
        )

    def at(self, position: int) -> Place:
        """The place of a line that has one. Raises KeyError for others, IndexError past the end."""
        packed = self.packed[position]
        return Place(
            self.offsets[position],
            packed >> LENGTH,
            SOURCES[packed & _SOURCE],
            _VERDICTS[packed & _VERDICT],
            status_code(packed),
        )

    def lengths(self) -> list[int]:
        """How long the results are."""
        return [packed >> LENGTH for packed in self.packed]

    def sources(self) -> set[Source]:
        """The files in which they lie."""
        return {SOURCES[number] for number in {packed & _SOURCE for packed in self.packed}}

    def endings(self) -> list[int]:
        """What became of each line as one number, for `verdict` and `status_code`."""
        return [packed & _ENDING for packed in self.packed]

    def counts(self) -> Counter[int]:
        """How many lines ended in each way; those without a place are left out."""
        endings = Counter(self.endings())
        del endings[0]
        return endings


def verdict(packed: int) -> Verdict:
    """What became of the line."""
    return _VERDICTS[packed & _VERDICT]


def status_code(packed: int) -> int | None:
    """The status code of the line's answer; None where there was none."""
    status = packed >> 8 & _STATUS
    return status - 1 if status else None


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
