from decimal import Decimal

import pytest

from batchsim.amounts import counted, distance, instant, money, size
from batchsim.cli.terminal.table import Column, details, table


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"),
        ("0.00000012345", "$0.00000012"),
        ("0.0042", "$0.0042"),
        ("0.05", "$0.050"),
        ("0.1", "$0.10"),
        ("1.005", "$1.00"),
        ("1234567.891", "$1,234,567.89"),
    ],
)
def test_money_keeps_cents_or_two_digits(amount, text):
    assert money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_234, "1.2 kB"),
        (200_000_000, "200.0 MB"),
        (5**14, "6,103.5 MB"),
    ],
)
def test_sizes_are_in_decimal_units(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (1_000_000, "0 s ago"),
        (999_940, "60 s ago"),
        (996_400, "60 min ago"),
        (1_086_400, "in 24.0 h"),
        (1_000_000 - 86_400 * 2, "2 days ago"),
        (1_000_000 + 86_400 * 30, "in 30 days"),
    ],
)
def test_distances_in_time_read_as_people_say_them(moment, text):
    assert distance(moment, 1_000_000.0) == text


@pytest.mark.parametrize("moment", [10**30, -(10**30)])
def test_a_time_that_no_calendar_holds_is_shown_as_it_is(moment):
    assert instant(moment) == str(moment)


def test_an_instant_is_in_utc():
    assert instant(1_767_225_600) == "2026-01-01T00:00:00Z"


def test_a_table_lines_up_wide_characters_and_numbers():
    rows = [("日本", "1", "x"), ("a", "22", "")]
    columns = (Column("NAME"), Column("N", is_number=True), Column("LAST"))
    assert list(table(columns, rows)) == ["NAME   N  LAST", "日本   1  x", "a     22"]


def test_a_table_is_not_held_in_memory():
    taken = []

    def rows():
        for number in range(1_000_000):
            taken.append(number)
            yield (str(number),)

    lines = table((Column("N"),), rows())
    assert [next(lines) for _ in range(2)] == ["N", "0"]
    assert len(taken) <= 1_000


def test_a_late_wide_cell_is_shown_whole():
    rows = [("a", "b")] * 2_000 + [("x" * 50, "end")]
    *_, last = table((Column("A"), Column("B")), rows)
    assert last == f"{'x' * 50}  end"


def test_details_stand_in_two_columns():
    assert list(details([("id", "1"), ("status", "a\x1b")])) == ["id      1", "status  a\\x1b"]


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("line",), "0 lines"),
        (1, ("line",), "1 line"),
        (2, ("line",), "2 lines"),
        (50_000, ("line",), "50,000 lines"),
        (1, ("batch",), "1 batch"),
        (3, ("batch",), "3 batches"),
        (1, ("line is", "lines are"), "1 line is"),
        (2, ("line is", "lines are"), "2 lines are"),
    ],
)
def test_counts_agree_with_their_nouns(number, words, text):
    assert counted(number, *words) == text
