"""What is worth a word in an input although the API accepts it."""

from __future__ import annotations

import re
import unicodedata

from batchsim.domain.custom_ids import FEW, CustomIds
from batchsim.domain.lines import RequestLine

_find_secret = re.compile(rb"-(?<=sk-)(?<![A-Za-z0-9]sk-)[A-Za-z0-9_-]{20}").search
"""Begins with the hyphen, which is rare and can be searched for quickly."""


class Advice:
    """Collects the first line of each kind of doubtful thing, and how many there are.

    Ids are compared over the first 50,000 lines only, to keep memory small. Most are as they are
    when they are folded (see _fold): so it is enough to keep the others, folded.
    """

    def __init__(self, custom_ids: CustomIds) -> None:
        """`custom_ids` are those of the lines so far, the one that is looked at included."""
        self._custom_ids = custom_ids
        self._folded: CustomIds | None = None
        self._found: dict[str, tuple[int, int]] = {}

    def look(self, content: bytes, request: RequestLine) -> None:
        """Look at one valid line."""
        custom_id, number = request.custom_id, request.number
        if number <= FEW and self._looks_like_another(custom_id):
            self.note("this custom_id differs from another only in case or accents", number)
        if _find_secret(content):
            self.note("the line holds what looks like a secret key", number)

    def _looks_like_another(self, custom_id: str) -> bool:
        folded = custom_id.lower() if custom_id.isascii() else _fold(custom_id)
        if folded == custom_id:
            return self._folded is not None and folded in self._folded
        if self._folded is None:
            self._folded = CustomIds()
        return not self._folded.add(folded) or folded in self._custom_ids

    def note(self, text: str, number: int) -> None:
        """Remember that `text` is true of the line `number`."""
        first, times = self._found.get(text, (number, 0))
        self._found[text] = first, times + 1

    def given(self) -> list[tuple[int, str]]:
        """Each kind once: the number of its first line, and the text."""
        return sorted(
            (first, text if times == 1 else f"{text} (and on {times - 1:,} more)")
            for text, (first, times) in self._found.items()
        )


def _fold(custom_id: str) -> str:
    return unicodedata.normalize("NFC", custom_id).casefold()
