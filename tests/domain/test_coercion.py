"""What services send where there is nothing, and how they write times."""

import pytest

from batchsim.domain.coercion import count, integer, text, timestamp


@pytest.mark.parametrize("value", [None, "", 7, [], {}, False])
def test_only_a_string_with_something_in_it_is_text(value):
    assert text(value) is None
    assert text("x") == "x"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), (7.0, 7), (7.5, None), (True, None), ("7", None), (float("inf"), None), (None, None)],
)
def test_an_integer_is_a_whole_number(value, expected):
    assert integer(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (-3, 0), (None, 0), ("", 0), (2.0, 2)])
def test_a_count_is_never_negative(value, expected):
    assert count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1713330734, 1713330734),
        (1713330734.9, 1713330734),
        (1713330734123, 1713330734),
        (1713330734123.0, 1713330734),
        ("1713330734", 1713330734),
        ("1713330734123", 1713330734),
        ("2024-04-17T05:12:14Z", 1713330734),
        ("2024-04-17T05:12:14", 1713330734),
        ("2024-04-17T07:12:14.500+02:00", 1713330734),
        (0, 0),
        ("", None),
        ("soon", None),
        (None, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        ([], None),
    ],
)
def test_a_time_is_read_in_every_notation(value, expected):
    assert timestamp(value) == expected
