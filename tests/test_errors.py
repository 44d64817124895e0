"""The tree of errors: each class says what may be done next."""

import traceback

import pytest

import batchsim.errors
from batchsim.errors import BatchsimError, InputError, RateLimited, Refused

CLASSES = [
    each
    for each in vars(batchsim.errors).values()
    if isinstance(each, type) and issubclass(each, BatchsimError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_message_a_hint_and_a_place_in_the_drawn_tree(kind):
    error = kind("it broke", hint="mend it")
    assert (str(error), error.message, error.hint) == ("it broke", "it broke", "mend it")
    assert kind("it broke").hint is None
    assert kind.__name__ in batchsim.errors.__doc__


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, ""),
        ({"path": "a.jsonl"}, "a.jsonl"),
        ({"path": "a.jsonl", "line": 3}, "a.jsonl:3"),
        ({"path": "a.jsonl", "line": 3, "column": 9}, "a.jsonl:3:9"),
        ({"line": 3}, "3"),
    ],
)
def test_the_place_of_a_bad_input_is_as_exact_as_it_is_known(given, place):
    assert InputError("bad", **given).place == place


def test_a_refusal_carries_the_envelope_of_the_api():
    error = Refused("no", status=409, type="t", param="p", code="c")
    assert (error.status, error.type, error.param, error.code) == (409, "t", "p", "c")


def test_a_rate_limit_says_how_long_to_wait():
    error = RateLimited("slowly", retry_after=1.5)
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", 1.5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "bad"),
        ({"path": "in.jsonl"}, "in.jsonl: bad"),
        ({"path": "in.jsonl", "line": 2, "column": 5}, "in.jsonl:2:5: bad"),
        ({"line": 2}, "line 2: bad"),
    ],
)
def test_a_traceback_tells_where_the_input_is_bad_and_what_to_do(given, told):
    error = InputError("bad", hint="mend it", **given)
    *_, message, note = "".join(traceback.format_exception(error)).splitlines()
    assert message == f"batchsim.errors.InputError: {told}"
    assert note == "hint: mend it"


def test_a_hint_that_is_given_later_is_the_one_that_is_shown():
    error = InputError("bad", hint="the first")
    error.hint = "the second"
    assert error.__notes__ == ["hint: the second"]
    error.add_note("somebody else's")
    error.hint = None
    assert error.hint is None
    assert InputError("bad").__notes__ == []
