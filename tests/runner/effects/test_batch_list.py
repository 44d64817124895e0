"""Searching a list of the service: every page that matters, and no more."""

from __future__ import annotations

from itertools import islice

import pytest

from batchsim.backends import Page
from batchsim.domain.files import File
from batchsim.errors import Unavailable
from batchsim.runner.effects.batch_list import MOST_PAGES, listed_since


def file(number, created_at):
    return File(id=f"file-{number}", purpose="batch", filename="f", bytes=0, created_at=created_at)


class Pages:
    """A list of files in pages of two, and the cursors that were asked for."""

    def __init__(self, *created):
        self.files = [file(number, at) for number, at in enumerate(created)]
        self.asked = []

    def __call__(self, after):
        self.asked.append(after)
        ids = [each.id for each in self.files]
        start = ids.index(after) + 1 if after else 0
        data = tuple(self.files[start : start + 2])
        return Page(data, has_more=start + 2 < len(ids))


@pytest.mark.parametrize(
    ("created", "found", "pages"),
    [
        ([], 0, 1),
        ([9], 1, 1),
        ([9, 8, 7], 3, 2),
        ([9, 8, 7, 6, 5], 5, 3),
        ([9, 8, 4, 3, 2], 4, 2),
        ([4, 3, 2, 1], 2, 1),
        ([9, 0, 8, 0, 7], 5, 3),
    ],
)
def test_a_search_ends_at_the_first_entry_that_is_too_old(created, found, pages):
    listing = Pages(*created)
    assert len(list(listed_since(listing, 5))) == found
    assert len(listing.asked) == pages


def endless(asked):
    def page(after):
        asked.append(after)
        return Page((file(len(asked), 9),), has_more=True)

    return page


def test_a_list_that_never_ends_is_left_and_the_reader_told():
    asked = []
    entries = listed_since(endless(asked), 5)
    assert len(list(islice(entries, MOST_PAGES))) == MOST_PAGES == len(asked)
    with pytest.raises(Unavailable, match="does not end: 1,000 pages"):
        next(entries)


def test_a_list_that_need_not_end_is_left_in_silence():
    asked = []
    assert len(list(listed_since(endless(asked), 5, most=3, must_end=False))) == 3 == len(asked)


def test_a_page_that_comes_again_ends_the_search():
    asked = []

    def same_page_again(after):
        asked.append(after)
        return Page((file(1, 9), file(2, 9)), has_more=True)

    assert [each.id for each in listed_since(same_page_again, 5)] == ["file-1", "file-2"]
    assert asked == [None, "file-2"]


def test_an_empty_page_ends_the_search_whatever_it_promises():
    assert not list(listed_since(lambda after: Page((), has_more=True), 5))
