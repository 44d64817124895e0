"""A set of the custom_ids of an input, in little memory.

Theory of operation. One batch has at most 50,000 ids: they are kept as they are. A job may have
millions, so beyond that an id becomes a digest of 64 bits, and costs 13 to 27 bytes however long it
is. The digests lie in tables, each at the first free place from the one that its lowest bits name;
its highest bits name the table. There are many tables so that memory holds little twice when they
grow. Among a million ids two that differ are taken for the same with a probability
of 3e-8, among ten million of 3e-6.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection

FEW = 50_000  # the most ids that are kept as they are
LONGEST_OF_FEW = 64  # characters; longer ids are digests from the start

_TABLES = 64
_TABLE = 58  # a digest shifted by this many bits is the number of its table
SMALLEST_TABLE = 1 << 12  # places of a table at first
_FULL = 0.6  # the share of places that may be taken

_DIGEST = (1 << 64) - 1


class CustomIds:
    """A growing set of custom_ids, to find the ones that stand twice."""

    def __init__(self) -> None:
        self._few: set[str | int] = set()
        self._many: _Digests | None = None

    def add(self, custom_id: str) -> bool:
        """Remember `custom_id`. Returns whether it is new."""
        if self._many is not None:
            return self._many.add(digest(custom_id))
        few = self._few
        count = len(few)
        few.add(custom_id if len(custom_id) <= LONGEST_OF_FEW else digest(custom_id))
        if len(few) == count:
            return False
        if count == FEW:
            self._many = _Digests()
            for key in few:
                self._many.add(key if isinstance(key, int) else digest(key))
            few.clear()
        return True

    def add_all(self, custom_ids: list[str]) -> bool:
        """Remember all in one step, in less than half the time; False: none was remembered."""
        if self._many is not None:
            return self._many.add_all(custom_ids)
        if max(map(len, custom_ids)) > LONGEST_OF_FEW:
            return False
        few, new = self._few, set(custom_ids)
        if len(new) < len(custom_ids) or len(few) + len(new) > FEW or not few.isdisjoint(new):
            return False
        few |= new
        return True

    def __contains__(self, custom_id: str) -> bool:
        if self._many is not None:
            return digest(custom_id) in self._many
        return (custom_id if len(custom_id) <= LONGEST_OF_FEW else digest(custom_id)) in self._few


class _Digests:
    def __init__(self) -> None:
        self._tables = [_table(SMALLEST_TABLE) for _ in range(_TABLES)]
        self._counts = [0] * _TABLES
        self._room = int((1 - _FULL) * SMALLEST_TABLE)
        """The most digests that surely find a free place, in whatever tables."""

    def add(self, digest: int) -> bool:
        return self._put((digest,))

    def add_all(self, custom_ids: list[str]) -> bool:
        """Remember the digests of all, unless one is known or they are too many for one step."""
        digests = {hash(custom_id) & _DIGEST or 1 for custom_id in custom_ids}  # as in digest
        return len(digests) == len(custom_ids) <= self._room and self._put(digests)

    def __contains__(self, digest: int) -> bool:
        table = self._tables[digest >> _TABLE]
        return table[_place(table, digest)] == digest

    def _put(self, digests: Collection[int]) -> bool:
        """Remember digests, none of them twice, if all are new."""
        tables = self._tables
        taken: list[tuple[int, int]] = []
        for digest in digests:
            number = digest >> _TABLE
            table = tables[number]
            mask = len(table) - 1
            place = digest & mask  # from here on as in _place: a call would cost as much again
            while (there := table[place]) and there != digest:
                place = place + 1 & mask
            if there:
                for number, place in reversed(taken):
                    tables[number][place] = 0
                return False
            table[place] = digest
            taken.append((number, place))
        counts = self._counts
        for number, _ in taken:
            counts[number] += 1
            if counts[number] > _FULL * len(tables[number]):
                self._grow(number)
        return True

    def _grow(self, number: int) -> None:
        old = self._tables[number]
        table = self._tables[number] = _table(2 * len(old))
        for digest in filter(None, old):
            table[_place(table, digest)] = digest


def _place(table: array[int], digest: int) -> int:
    mask = len(table) - 1
    place = digest & mask
    while (there := table[place]) and there != digest:
        place = place + 1 & mask
    return place


def _table(places: int) -> array[int]:
    return array("Q", bytes(8 * places))


def digest(custom_id: str) -> int:
    """Return the keyed digest of an id; another process has another key."""
    # It never leaves this process, so Python's own hash, which is keyed anew in each, will do.
    return hash(custom_id) & _DIGEST or 1  # 0 is a free place
