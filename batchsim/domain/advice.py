"""What is worth a word in an input although the API accepts it."""

from __future__ import annotations

import re
import unicodedata

from batchsim.domain.custom_ids import FEW, CustomIds
from batchsim.domain.lines import RequestLine

_SECRET = re.compile(rb"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20}")


class Advice:
    """Collects the first line of each kind of doubtful thing, and how many there are.

    Ids are compared over the first 50,000 lines only, to keep memory small.
    """

    def __init__(self) -> None:
        self._folded = CustomIds()
        self._found: dict[str, tuple[int, int]] = {}

    def look(self, content: bytes, request: RequestLine) -> None:
        """Look at one valid line."""
        if request.number <= FEW and not self._folded.add(_fold(request.custom_id)):
            self.note("this custom_id differs from another only in case or accents", request.number)
        if b"sk-" in content and _SECRET.search(content):
            self.note("the line holds what looks like a secret key", request.number)

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
    if custom_id.isascii():
        return custom_id.lower()
    return unicodedata.normalize("NFC", custom_id).casefold()
