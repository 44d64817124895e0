"""Looking for something in a list of the service, newest first, without reading all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from batchsim.backends import Listed, Page

MOST_PAGES = 1_000
"""How many pages are read at most in one search."""


def listed_since(
    page_after: Callable[[str | None], Page[Listed]], moment: float
) -> Iterator[Listed]:
    """What a list shows, from the newest to the first one older than `moment` (unix seconds).

    `page_after` gives the page after an id, and the first page for None. An entry that does not
    say when it was created (0) ends nothing.
    """
    after = None
    for _ in range(MOST_PAGES):
        page = page_after(after)
        for each in page.data:
            if 0 < each.created_at < moment:
                return
            yield each
        if not page.data or not page.has_more:
            return
        after = page.data[-1].id
