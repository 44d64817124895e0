"""Tables of aligned text."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from batchsim.domain.validation.error_explanation import shown

MEASURED_ROWS = 1_000
LONGEST_CELL = 1_024
"""Characters. No id of a service is longer, so that each can be copied whole."""

_GAP = "  "


class Column(NamedTuple):
    name: str
    is_number: bool = False


def columns(*headings: str) -> tuple[Column, ...]:
    """Return columns by their headings; one that begins with `>` is a column of numbers."""
    return tuple(Column(each.removeprefix(">"), each.startswith(">")) for each in headings)


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the heading and the rows as lines of text. The first rows decide the widths."""
    texts = (tuple(shown(cell, LONGEST_CELL) for cell in row) for row in rows)
    first = [tuple(column.name for column in columns), *islice(texts, MEASURED_ROWS)]
    widths = [max(map(_width, cells)) for cells in zip(*first, strict=True)]
    for row in chain(first, texts):
        cells = zip(row, columns, widths, strict=True)
        yield _GAP.join(_padded(cell, column, width) for cell, column, width in cells).rstrip()


def details(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        yield f"{name:<{width}}{_GAP}{shown(value, LONGEST_CELL)}"


def _padded(text: str, column: Column, width: int) -> str:
    padding = " " * (width - _width(text))
    return padding + text if column.is_number else text + padding


def _width(text: str) -> int:
    """Return how many cells `text` takes; a Chinese or Japanese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
