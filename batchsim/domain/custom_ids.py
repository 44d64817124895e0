"""Which custom_ids an input has shown so far.

Theory of operation. One batch has at most 50,000 ids: they are kept as they are. A job may have
millions, so beyond that only short ids are, and longer ones become digests of 120 bits. Either
way an id costs about 100 bytes however long it is. Among ten million digests two are equal with a
probability below 1e-22, which is why no further proof is asked before calling ids duplicates.
"""

from __future__ import annotations

from hashlib import blake2b

FEW = 50_000
"""Up to so many ids are kept as they are, if they are not unreasonably long."""

LONGEST_OF_FEW = 64
LONGEST_OF_MANY = 15
"""A string of so many ASCII characters takes as much memory as a digest and costs no time."""


class CustomIds:
    """A growing set of custom_ids, for telling the first of its kind from the later ones."""

    def __init__(self) -> None:
        self._seen: set[str | int] = set()
        self._longest = LONGEST_OF_FEW

    def add(self, custom_id: str) -> bool:
        """Remember `custom_id`. Returns whether it is new."""
        key = custom_id if len(custom_id) <= self._longest else _digest(custom_id)
        seen = self._seen
        count = len(seen)
        seen.add(key)
        if len(seen) == count:
            return False
        if count == FEW:
            self._shorten()
        return True

    def _shorten(self) -> None:
        self._longest = LONGEST_OF_MANY
        self._seen = {
            _digest(key) if isinstance(key, str) and len(key) > LONGEST_OF_MANY else key
            for key in self._seen
        }


def _digest(custom_id: str) -> int:
    return int.from_bytes(blake2b(custom_id.encode(), digest_size=15).digest(), "big")
