"""Which batches hold a line, in memory that does not grow with the lines."""

import tracemalloc

import pytest

from batchsim.errors import JobIncomplete
from batchsim.runner.adoption.lines_of_batches import Member, Members


@pytest.fixture
def members(opened_databases):
    opened = Members()
    yield opened
    opened.close()


def test_a_line_is_found_in_every_batch_that_holds_it(members):
    members.add("b", 2, b"second")
    members.add("b", 1, b"first")
    members.add("a\0a", 1, b"other")
    assert members.of("b") == [Member(1, b"first"), Member(2, b"second")]
    assert members.of("a") == []
    assert members.unmarked() == (2, "a\0a")
    members.mark("a\0a")
    members.mark("nobody's")
    assert members.unmarked() == (1, "b")
    members.mark("b")
    assert all(member.is_in_input for member in members.of("b"))
    assert members.unmarked() == (0, None)


def test_memory_holds_no_lines(members):
    """What Python holds; SQLite holds a cache of 16 MiB at most."""
    tracemalloc.start()
    try:
        for number in range(20_000):
            members.add(f"request-{number}", number % 20, b"x" * 16)
            members.of(f"request-{number}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000


def test_a_full_disk_stops_with_what_to_do(members, opened_databases):
    opened_databases[""].execute("PRAGMA max_page_count = 3")

    def fill():
        for number in range(1_000):
            members.add(f"request-{number}", 1, b"x" * 16)

    with pytest.raises(JobIncomplete, match=r"cannot be stored: .*full") as told:
        fill()
    assert "TMPDIR" in told.value.hint
