"""`batchsim guide`: a list, a chapter, a chapter that there is not."""

import pytest

from batchsim.cli.commands.guide import CHAPTERS
from tests.docs.documents import GUIDE


def test_without_a_chapter_it_lists_all_with_their_titles(batchsim):
    outcome = batchsim("guide")
    heading, *rows = outcome.stdout.splitlines()
    assert (outcome.code, heading.split()) == (0, ["CHAPTER", "ABOUT"])
    assert [row.split()[0] for row in rows] == list(CHAPTERS)
    assert "run              Run a file" in rows


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_a_terminal_a_chapter_is_its_markdown(batchsim, chapter):
    outcome = batchsim("guide", chapter)
    assert outcome.code == 0
    assert outcome.stdout == (GUIDE / f"{chapter}.md").read_text("utf-8")


def test_a_chapter_that_there_is_not(batchsim):
    outcome = batchsim("guide", "cooking")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: the guide has no chapter 'cooking'\n")
    assert "hint: choose one of start, input, " in outcome.stderr


def test_on_a_terminal_a_chapter_is_formatted(batchsim, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    outcome = batchsim("guide", "run")
    assert outcome.code == 0
    assert "Run a file" in outcome.stdout
    assert "# Run a file" not in outcome.stdout
    assert "](never-pay-twice.md)" not in outcome.stdout
    assert max(map(len, outcome.stdout.splitlines())) <= 80
