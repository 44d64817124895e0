"""Which custom_ids an input has shown so far.

Theory of operation. One batch has at most 50,000 ids: they are kept as they are. A job may have
millions, so beyond that an id becomes a digest of 64 bits, and costs about 12 bytes however long it
is: the latest digests are in a set, older ones in sorted arrays of 8 bytes each, behind a filter
that says of nearly every new digest, in one step, that no array holds it. Among a million ids two
that differ are taken for the same with a probability of 3e-8, among ten million of 3e-6.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

FEW = 50_000
"""Up to so many ids are kept as they are."""

LONGEST_OF_FEW = 64
"""Characters; longer ids are digests from the start."""

_GENERATION = 1 << 16
"""So many digests go into an array together."""

_BITS_PER_DIGEST = 16
_DIGEST = (1 << 64) - 1


class CustomIds:
    """A growing set of custom_ids, for telling the first of its kind from the later ones."""

    def __init__(self) -> None:
        self._few: set[str | int] = set()
        self._many: _Digests | None = None

    def add(self, custom_id: str) -> bool:
        """Remember `custom_id`. Returns whether it is new."""
        if self._many is not None:
            return self._many.add(_digest(custom_id))
        few = self._few
        count = len(few)
        few.add(custom_id if len(custom_id) <= LONGEST_OF_FEW else _digest(custom_id))
        if len(few) == count:
            return False
        if count == FEW:
            self._many = _Digests()
            for key in few:
                self._many.add(key if isinstance(key, int) else _digest(key))
            few.clear()
        return True

    def add_all(self, custom_ids: list[str]) -> bool:
        """Remember all of them, in one step; False says that none was, and nothing about any of them."""
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
        """Whether `custom_id` was added."""
        if self._many is not None:
            return _digest(custom_id) in self._many
        return (custom_id if len(custom_id) <= LONGEST_OF_FEW else _digest(custom_id)) in self._few


class _Digests:
    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: list[array[int]] = []
        self._filter = bytearray(_GENERATION * _BITS_PER_DIGEST // 8)
        self._mask = len(self._filter) - 1

    def add(self, digest: int) -> bool:
        """Remember `digest`. Returns whether it is new."""
        recent, seen, mask = self._recent, self._filter, self._mask
        count = len(recent)
        if (
            seen[digest >> 3 & mask] & 1 << (digest & 7)
            and seen[digest >> 35 & mask] & 1 << (digest >> 32 & 7)
            and self._is_older(digest)
        ):
            return False
        recent.add(digest)
        if len(recent) == count:
            return False
        if count == _GENERATION - 1:
            self._retire()
        return True

    def add_all(self, custom_ids: list[str]) -> bool:
        """Remember the digests of all, unless one may be known or they are too many for one step."""
        recent, seen, mask = self._recent, self._filter, self._mask
        new = {hash(custom_id) & _DIGEST for custom_id in custom_ids}
        if (
            len(new) < len(custom_ids)
            or len(recent) + len(new) >= _GENERATION
            or not recent.isdisjoint(new)
        ):
            return False
        perhaps_older = [
            digest
            for digest in new
            if seen[digest >> 3 & mask] & 1 << (digest & 7)
            and seen[digest >> 35 & mask] & 1 << (digest >> 32 & 7)
        ]
        if any(map(self._is_older, perhaps_older)):
            return False
        recent |= new
        return True

    def __contains__(self, digest: int) -> bool:
        return digest in self._recent or self._is_older(digest)

    def _is_older(self, digest: int) -> bool:
        for each in self._older:
            place = bisect_left(each, digest)
            if place < len(each) and each[place] == digest:
                return True
        return False

    def _retire(self) -> None:
        """Put the recent digests into an array, and all that the filter lacks into the filter."""
        self._older.append(array("Q", sorted(self._recent)))
        self._recent = set()
        missing = self._older[-1:]
        if len(self._older) * _GENERATION * _BITS_PER_DIGEST > 8 * len(self._filter):
            self._filter = bytearray(4 * len(self._filter))
            self._mask = len(self._filter) - 1
            missing = self._older
        seen, mask = self._filter, self._mask
        for each in missing:
            for digest in each:
                seen[digest >> 3 & mask] |= 1 << (digest & 7)
                seen[digest >> 35 & mask] |= 1 << (digest >> 32 & 7)


def _digest(custom_id: str) -> int:
    # It never leaves this process, so Python's own hash, which is keyed anew in each, will do.
    return hash(custom_id) & _DIGEST
