"""A service whose lists never end: live batches are polled all the same, and nobody
asks for ever.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from batchsim.backends import Page
from batchsim.backends.fake import FakeBackend
from tests.repository import DEMO_INPUT

RUN = ("run", "--real", "input.jsonl", "-o", "results.jsonl")
BOUND = 1_500
"""So many pages of a list a run may read in all."""


@pytest.fixture
def pages(desk, monkeypatch) -> list[str | None]:
    """The pages of batches that were asked for."""
    (desk / "input.jsonl").write_bytes(DEMO_INPUT.read_bytes())
    return []


def make_endless(monkeypatch, pages, *, repeats: bool = False) -> None:
    """Let the list of batches promise more for ever once a batch exists."""
    honest, create, creates = FakeBackend.list_batches, FakeBackend.create_batch, []

    def counted(self, **options):
        batch = create(self, **options)
        creates.append(batch)
        return batch

    def endless(self, **options):
        pages.append(options.get("after"))
        assert len(pages) <= BOUND, "the list is read for ever"
        page = honest(self, **{**options, "after": None})
        if not creates:
            return page
        if repeats:
            return Page(page.data, has_more=True)
        theirs = replace(
            creates[0], id=f"batch_other{len(pages)}", input_file_id="file-other", metadata={}
        )
        return Page((theirs,), has_more=True)

    monkeypatch.setattr(FakeBackend, "create_batch", counted)
    monkeypatch.setattr(FakeBackend, "list_batches", endless)


@pytest.mark.parametrize("repeats", [False, True])
def test_a_live_batch_is_polled_while_the_list_has_no_end(
    batchsim, desk, real, pages, monkeypatch, repeats
) -> None:
    make_endless(monkeypatch, pages, repeats=repeats)
    assert batchsim(*RUN).code == 0
    results = [json.loads(line) for line in (desk / "results.jsonl").read_text().splitlines()]
    assert [each["custom_id"] for each in results] == ["request-1", "request-2", "request-3"]


def test_a_create_that_cannot_be_searched_for_is_not_repeated(
    batchsim, real, pages, monkeypatch
) -> None:
    """The answer to the create is lost, and no end of the list says that there is no batch."""
    from batchsim.errors import OutcomeUnknown

    make_endless(monkeypatch, pages)
    create = FakeBackend.create_batch

    def lost(self, **options):
        create(self, **options)
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(FakeBackend, "create_batch", lost)
    monkeypatch.setattr("batchsim.runner.effects.submit.SEARCH_PAGES", 5)
    outcome = batchsim(*RUN)
    assert outcome.code == 75
    assert "does not end" in outcome.stderr
