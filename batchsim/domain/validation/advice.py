"""Advice on an input that the API accepts: ids that differ only in case, keys in a line."""

import re
import unicodedata

from batchsim.domain.lines import RequestLines
from batchsim.domain.validation.custom_ids import FEW, CustomIds

_find_secret = re.compile(rb"-(?<=sk-)(?<![A-Za-z0-9]sk-)[A-Za-z0-9_-]{20}").search
"""Begins with the hyphen, which is rare and can be searched for quickly."""


class Advice:
    """Collects the first line of each kind of doubtful thing, and counts the others.

    Ids are compared over the first 50,000 lines only, to keep memory small. Most ids do not change
    when they are folded (see _fold), so only the folded forms of the others are kept.
    """

    def __init__(self, custom_ids: CustomIds) -> None:
        """`custom_ids` are those of the lines so far, with the lines that are looked at."""
        self._custom_ids = custom_ids
        self._folded: CustomIds | None = None
        self._found: dict[str, tuple[int, int]] = {}

    def look(self, lines: RequestLines) -> None:
        custom_ids, contents = lines.custom_ids, lines.contents
        together = "".join(custom_ids)
        is_plain = self._folded is None and together.isascii() and together.lower() == together
        if lines.number <= FEW and not is_plain:
            for place, custom_id in enumerate(custom_ids):
                if self._looks_like_another(custom_id, custom_ids[place + 1 :]):
                    text = "this custom_id differs from another only in case or accents"
                    self.note(text, lines.number + place)
        if _find_secret(b"\n".join(contents)):
            for number, content in enumerate(contents, lines.number):
                if _find_secret(content):
                    self.note("the line holds what looks like a secret key", number)

    def _looks_like_another(self, custom_id: str, later: list[str]) -> bool:
        folded = custom_id.lower() if custom_id.isascii() else _fold(custom_id)
        if folded == custom_id:
            return self._folded is not None and folded in self._folded
        if self._folded is None:
            self._folded = CustomIds()
        is_new = self._folded.add(folded)
        return not is_new or (folded in self._custom_ids and folded not in later)

    def note(self, text: str, number: int) -> None:
        first, times = self._found.get(text, (number, 0))
        self._found[text] = first, times + 1

    def given(self) -> list[tuple[int, str]]:
        """Each kind of advice once: the number of its first line, and the text."""
        return sorted(
            (first, text if times == 1 else f"{text} (and on {times - 1:,} more)")
            for text, (first, times) in self._found.items()
        )


def _fold(custom_id: str) -> str:
    return unicodedata.normalize("NFC", custom_id).casefold()
