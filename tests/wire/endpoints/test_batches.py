"""The Batch API's routes: the shape of objects and lists, and what is refused."""

import json

import pytest

from batchsim.wire import App

GOLDEN = """{
  "id": "batch_6955b90000008190b19ffa124989dbff",
  "object": "batch",
  "endpoint": "/v1/responses",
  "model": null,
  "errors": null,
  "input_file_id": "file-1111111111111111111111",
  "completion_window": "24h",
  "status": "validating",
  "output_file_id": null,
  "error_file_id": null,
  "created_at": 1767225600,
  "in_progress_at": null,
  "expires_at": 1767312000,
  "finalizing_at": null,
  "completed_at": null,
  "failed_at": null,
  "expired_at": null,
  "cancelling_at": null,
  "cancelled_at": null,
  "request_counts": {
    "total": 0,
    "completed": 0,
    "failed": 0
  },
  "usage": {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {
      "cached_tokens": 0
    },
    "output_tokens_details": {
      "reasoning_tokens": 0
    }
  },
  "metadata": null
}"""

BATCH_KEYS = list(json.loads(GOLDEN))

CREATION = {
    "input_file_id": "file-1111111111111111111111",
    "endpoint": "/v1/responses",
    "completion_window": "24h",
}


def test_rows_054_to_057_a_new_batch_is_answered_as_recorded(door):
    answer = door.post_json("/v1/batches", CREATION)
    batch_id = answer.json["id"]
    expected = GOLDEN.replace("batch_6955b90000008190b19ffa124989dbff", batch_id)
    assert answer.content.decode() == expected
    assert list(answer.json) == BATCH_KEYS
    assert int(batch_id.removeprefix("batch_")[:8], 16) == answer.json["created_at"]


def test_row_055_metadata_is_echoed(door):
    metadata = {"job": "é日本", "": ""}
    answer = door.post_json("/v1/batches", {**CREATION, "metadata": metadata})
    assert answer.json["metadata"] == metadata


REFUSALS = [
    ({"endpoint": "/v1/invalid"}, "endpoint", "invalid_value", "Supported values are: "),
    ({"endpoint": 7}, "endpoint", "invalid_type", "expected a string, but got an integer"),
    ({"completion_window": "48h"}, "completion_window", "invalid_value", "'48h'"),
    ({"completion_window": 24}, "completion_window", "invalid_type", "expected a string"),
    ({"input_file_id": "wrong-id"}, "input_file_id", "invalid_value",
     "Invalid 'input_file_id': 'wrong-id'. Expected an ID that begins with 'file'."),
    ({"metadata": {"tags": ["a"]}}, "metadata.tags", "invalid_type",
     "Invalid type for 'metadata.tags': expected a string, but got an array instead."),
    ({"metadata": "text"}, "metadata", "invalid_type", "expected an object"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties", ""),
    *(({name: None}, name, "missing_required_parameter", f"Missing required parameter: '{name}'.")
      for name in CREATION),
    ({"output_expires_after": 3600}, "output_expires_after", "invalid_type", "an object"),
    ({"output_expires_after": {}}, "output_expires_after.anchor",
     "missing_required_parameter", ""),
    ({"output_expires_after": {"seconds": 3600}}, "output_expires_after.anchor",
     "missing_required_parameter", ""),
    ({"output_expires_after": {"anchor": "created_at"}}, "output_expires_after.seconds",
     "missing_required_parameter", ""),
    ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, "output_expires_after.anchor",
     "invalid_value", ""),
    *(({"output_expires_after": {"anchor": "created_at", "seconds": wrong}},
       "output_expires_after.seconds", code, "")
      for wrong, code in ((3599, "integer_below_min_value"), (2592001, "integer_above_max_value"),
                          ("3600", "invalid_type"), (3600.5, "invalid_type"), (True, "invalid_type"))),
    ({"x": 1}, "x", "unknown_parameter", "Unknown parameter: 'x'."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "param", "code", "words"), REFUSALS)
def test_rows_058_to_067_a_creation_that_cannot_be_is_refused(door, changes, param, code, words):
    answer = door.post_json("/v1/batches", {**CREATION, **changes})
    assert answer.status == 400
    assert (answer.error["param"], answer.error["code"]) == (param, code)
    assert words in answer.error["message"]
    assert door.send("GET", "/v1/batches").json["data"] == []


@pytest.mark.parametrize("name", CREATION)
def test_row_065_a_missing_field_is_refused(door, name):
    body = {key: value for key, value in CREATION.items() if key != name}
    answer = door.post_json("/v1/batches", body)
    assert (answer.status, answer.error["param"]) == (400, name)
    assert answer.error["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"text"', b"{", b"a=b", b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16"),
     b"[" * 100_000, b'{"a": NaN}', b"{}{}"],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(door, body):
    answer = door.send("POST", "/v1/batches", body=[body])
    assert answer.status == 400
    assert answer.error["message"].startswith("We could not parse the JSON body of your request.")


def test_a_body_without_end_is_refused(door):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b" " * 65_536

    assert door.send("POST", "/v1/batches", body=endless()).status == 413
    assert len(taken) == 17


def test_row_066_the_lifetime_of_results_is_not_echoed(door):
    lifetime = {"anchor": "created_at", "seconds": 3600}
    answer = door.post_json("/v1/batches", {**CREATION, "output_expires_after": lifetime})
    assert list(answer.json) == BATCH_KEYS


def test_row_070_a_new_batch_is_visible_at_once(door, batch_of):
    batch_id = batch_of()
    assert door.send("GET", f"/v1/batches/{batch_id}").json["id"] == batch_id
    assert door.send("GET", "/v1/batches").json["data"][0]["id"] == batch_id


def test_row_082_in_2024_batches_had_neither_model_nor_usage(backend, door_to):
    door = door_to(App(backend, profile="2024"))
    expected = [key for key in BATCH_KEYS if key not in ("model", "usage")]
    created = door.post_json("/v1/batches", CREATION)
    path = f"/v1/batches/{created.json['id']}"
    assert list(created.json) == expected
    assert list(door.send("GET", path).json) == expected
    assert list(door.send("GET", "/v1/batches").json["data"][0]) == expected
    assert list(door.send("POST", f"{path}/cancel").json) == expected
    assert "openai-project" not in created.headers


def test_rows_088_and_093_cancelling_twice_answers_the_same(door, batch_of):
    path = f"/v1/batches/{batch_of()}/cancel"
    first, second = door.send("POST", path), door.send("POST", path)
    assert (first.status, first.json["status"]) == (200, "cancelling")
    assert second.content == first.content


def test_row_092_an_ended_batch_cannot_be_cancelled(backend, door, batch_of):
    path = f"/v1/batches/{batch_of()}/cancel"
    backend.clock.advance(86_400)
    answer = door.send("POST", path)
    assert answer.status == 409
    assert answer.error == {
        "message": "Cannot cancel a batch with status 'completed'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_row_148_a_batch_that_failed_cost_nothing(backend, door):
    file_id = door.upload_input(b"{}\n").json["id"]
    batch = door.post_json("/v1/batches", {**CREATION, "input_file_id": file_id}).json
    usage = batch["usage"]
    backend.clock.advance(3_600)
    batch = door.send("GET", f"/v1/batches/{batch['id']}").json
    assert (batch["status"], batch["usage"]) == ("failed", usage)
    assert usage["total_tokens"] == 0


@pytest.mark.parametrize("batch_id", ["batch_x", "batch-nonexistent-xyz", "batch"])
def test_rows_094_and_096_an_unknown_batch_is_not_found(door, batch_id):
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = door.send(method, f"/v1/batches/{batch_id}{path}")
        assert answer.status == 404
        assert answer.error["message"] == f"No batch found with id '{batch_id}'."
        assert (answer.error["param"], answer.error["code"]) == (None, None)


def test_row_095_what_cannot_be_a_batch_id_is_refused(door):
    answer = door.send("GET", "/v1/batches/invalid")
    assert answer.status == 400
    assert answer.error == {
        "message": "Invalid 'batch_id': 'invalid'. Expected an ID that begins with 'batch'.",
        "type": "invalid_request_error",
        "param": "batch_id",
        "code": "invalid_value",
    }


def test_rows_102_and_103_batches_are_listed(door, batch_of):
    ids = [batch_of() for _ in range(21)][::-1]
    answer = door.send("GET", "/v1/batches").json
    assert list(answer) == ["object", "data", "first_id", "last_id", "has_more"]
    assert [batch["id"] for batch in answer["data"]] == ids[:20]
    assert (answer["first_id"], answer["last_id"], answer["has_more"]) == (ids[0], ids[19], True)
    rest = door.send("GET", f"/v1/batches?after={ids[19]}&limit=100").json
    assert ([batch["id"] for batch in rest["data"]], rest["has_more"]) == (ids[20:], False)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x"])
def test_row_102_a_page_has_1_to_100_batches(door, limit):
    answer = door.send("GET", f"/v1/batches?limit={limit}")
    assert (answer.status, answer.error["param"]) == (400, "limit")


def test_row_104_an_empty_list_has_no_ids(door):
    expected = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert door.send("GET", "/v1/batches").content == json.dumps(expected, indent=2).encode()
