"""Looking for something in a list of the service, newest first, without reading all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from batchsim.backends import Listed, Page

MOST_PAGES = 1_000
"""How many pages are read at most in one search."""


def listed_since(
    page_after: Callable[[str | None], Page[Listed]], moment: float = 0.0
) -> Iterator[Listed]:
    """What a list shows since `moment` (unix seconds), from the newest on.

    With 0 for `moment` the list is read to its end.
    `page_after` gives the page after an id, and the first page for None. The search ends after a
    page on which everything is older. An entry that does not say when it was created (0) is never
    too old, and a page that is not sorted from the newest on ends nothing.
    """
    after = None
    for _ in range(MOST_PAGES):
        page = page_after(after)
        yield from (each for each in page.data if not 0 < each.created_at < moment)
        if not page.data or not page.has_more:
            return
        times = [each.created_at for each in page.data]
        if 0 < times[0] < moment and times == sorted(times, reverse=True):
            return
        after = page.data[-1].id
