"""A shard's index: for each of its lines where its result lies, and what became of it.

The file holds two 64-bit numbers per line, in the machine's byte order: the offset of the result,
and, from the highest bit on, its length (40 bits), its status code plus one (16; 0 for none), one
bit for "worth another try", the outcome (4), and the file (3). A line without a result has zeros.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import NamedTuple

from batchsim.runner.outcomes import Outcome, Verdict
from batchsim.runner.shard_entries import Source

SOURCES = tuple(Source)
"""The files by the number that an index gives them."""

HTTP_OK = 200

_HIGHEST_STATUS = 0xFFFE
_AGAIN = 1 << 7
_OUTCOME = 0xF << 3
_VERDICT = _AGAIN | _OUTCOME
_VERDICTS = {
    outcome << 3 | (_AGAIN if again else 0): Verdict(outcome, again)
    for outcome in Outcome
    for again in (False, True)
}

_GOOD = {
    source: (HTTP_OK + 1) << 8 | Outcome.OK << 3 | number for number, source in enumerate(SOURCES)
}


class Place(NamedTuple):
    """Where a line's result lies, and what it says."""

    offset: int
    length: int
    source: Source
    verdict: Verdict
    status_code: int | None


class Index:
    """The places of a shard's lines, by their positions in the shard (from 0)."""

    def __init__(self, numbers: array[int]) -> None:
        self._numbers = numbers

    @classmethod
    def empty(cls, lines: int) -> Index:
        """An index of so many lines, none of which has a place yet."""
        return cls(array("Q", bytes(16 * lines)))

    @classmethod
    def from_bytes(cls, content: bytes) -> Index:
        """The index that `to_bytes` wrote. Raises ValueError when its length cannot be."""
        numbers = array("Q")
        numbers.frombytes(content)
        return cls(numbers)

    def to_bytes(self) -> bytes:
        """As it is kept in a file."""
        return self._numbers.tobytes()

    def __len__(self) -> int:
        return len(self._numbers) // 2

    def holds(self, position: int) -> bool:
        """Whether the line has a place."""
        return self._numbers[2 * position + 1] != 0

    def put(self, position: int, place: Place) -> None:
        """Let the line have that place."""
        code = place.status_code
        status = code + 1 if code is not None and 0 <= code <= _HIGHEST_STATUS else 0
        outcome, again = place.verdict
        self._numbers[2 * position] = place.offset
        self._numbers[2 * position + 1] = (
            place.length << 24
            | status << 8
            | (_AGAIN if again else 0)
            | outcome << 3
            | SOURCES.index(place.source)
        )

    def put_good(self, position: int, offset: int, length: int, source: Source) -> None:
        """The same for a good answer with the status code 200, quickly: nearly all are such."""
        self._numbers[2 * position] = offset
        self._numbers[2 * position + 1] = length << 24 | _GOOD[source]

    def at(self, position: int) -> Place:
        """The place of a line that has one. Raises KeyError for others, IndexError past the end."""
        packed = self._numbers[2 * position + 1]
        status = packed >> 8 & 0xFFFF
        return Place(
            self._numbers[2 * position],
            packed >> 24,
            SOURCES[packed & 7],
            _VERDICTS[packed & _VERDICT],
            status - 1 if status else None,
        )

    def counts(self) -> Counter[Verdict]:
        """How many lines have each verdict; those without a place have none."""
        packed = Counter(number & _VERDICT for number in self._numbers[1::2])
        packed.pop(0, None)
        return Counter({_verdict(number): count for number, count in packed.items()})

    def ran_badly(self) -> int:
        """How many lines have an answer that is not good."""
        failed = Outcome.FAILED << 3
        return sum(
            number & _OUTCOME == failed and number >> 8 & 0xFFFF > 1
            for number in self._numbers[1::2]
        )


def _verdict(packed: int) -> Verdict:
    return _VERDICTS[packed & _VERDICT]
