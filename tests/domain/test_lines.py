"""Lines of output and error files, as any service writes them."""

import pytest

from batchsim.domain.lines import LineError, Response, ResultLine

OK = {"status_code": 200, "request_id": "req_1", "body": {"a": 1}}


def test_a_line_that_ran_has_its_response():
    line = ResultLine.from_object(
        {"id": "batch_req_1", "custom_id": "a", "response": OK, "error": None}
    )
    assert line == ResultLine(
        custom_id="a", id="batch_req_1", response=Response(200, "req_1", {"a": 1})
    )
    assert line.is_ok


def test_a_line_that_never_ran_has_its_error():
    error = {"code": "batch_expired", "message": "Too late."}
    line = ResultLine.from_object({"custom_id": "a", "response": None, "error": error})
    assert line.error == LineError("batch_expired", "Too late.")
    assert not line.is_ok


@pytest.mark.parametrize(
    ("code", "status_code", "is_ok"),
    [
        (200, 200, True),
        (299, 299, True),
        (300, 300, False),
        (199, 199, False),
        ("200", 200, True),
        (200.0, 200, True),
        ("2" * 5_000, 0, False),
        ("two", 0, False),
        (True, 0, False),
        (None, 0, False),
    ],
)
def test_a_status_code_is_a_number_however_it_is_written(code, status_code, is_ok):
    line = ResultLine.from_object({"custom_id": "a", "response": {"status_code": code}})
    assert (line.response.status_code, line.is_ok) == (status_code, is_ok)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, None),
        ({}, None),
        ("", None),
        ([], None),
        ("boom", LineError("unknown", "boom")),
        ({"message": "boom"}, LineError("unknown", "boom")),
        ({"code": "c"}, LineError("c", "")),
    ],
)
def test_an_error_is_read_in_every_shape(error, expected):
    line = ResultLine.from_object({"custom_id": "a", "response": OK, "error": error})
    assert (line.error, line.is_ok) == (expected, expected is None)


def test_an_empty_custom_id_is_still_a_place_to_put_a_line():
    assert ResultLine.from_object({"custom_id": ""}).custom_id == ""


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"custom_id": None}, {"custom_id": 7}])
def test_a_line_that_cannot_be_placed_is_refused(value):
    with pytest.raises(ValueError, match="the result line"):
        ResultLine.from_object(value)
