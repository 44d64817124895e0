"""One page of a list, as both lists of the API cut them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import dropwhile, islice
from typing import TypeVar

from batchsim.backends import Listed, Page

Record = TypeVar("Record")


def cut_page(
    entries: Iterable[tuple[str, Record]],
    show: Callable[[Record], Listed],
    *,
    limit: int,
    after: str | None,
    matches: Callable[[Record], bool] = lambda _: True,
) -> Page[Listed]:
    """The first `limit` of those `entries` (id and record) that match and follow the id `after`.

    `after` must be among the entries, matching or not. Only what is on the page is shown, so a
    page costs no more than finding its beginning.
    """
    rest = iter(entries)
    if after is not None:
        rest = dropwhile(lambda entry: entry[0] != after, rest)
        next(rest, None)
    matching = (record for _, record in rest if matches(record))
    found = list(islice(matching, limit + 1))
    return Page(tuple(show(record) for record in found[:limit]), has_more=len(found) > limit)
