"""Checklist rows 1 to 20: what is the same on every route."""

import json

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import Limits
from batchsim.errors import (
    BatchsimError,
    Conflict,
    InputError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    TransferBroken,
    Unavailable,
    UsageError,
)
from batchsim.wire import App
from batchsim.wire.http import problem


@pytest.fixture
def every_answer(door, batch_of, input_content):
    """One good answer of each route, by name."""
    uploaded = door.upload_input(input_content)
    file_id, batch_id = uploaded.json["id"], batch_of()
    return {
        "upload": uploaded,
        "list files": door.send("GET", "/v1/files"),
        "file": door.send("GET", f"/v1/files/{file_id}"),
        "content": door.send("GET", f"/v1/files/{file_id}/content"),
        "create": door.post_json(
            "/v1/batches",
            {
                "input_file_id": file_id,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
        ),
        "list batches": door.send("GET", "/v1/batches"),
        "batch": door.send("GET", f"/v1/batches/{batch_id}"),
        "cancel": door.send("POST", f"/v1/batches/{batch_id}/cancel"),
        "delete": door.send("DELETE", f"/v1/files/{file_id}"),
    }


def test_row_001_every_success_is_200(every_answer):
    assert {answer.status for answer in every_answer.values()} == {200}


def test_row_002_json_is_pretty_except_when_cancelling(every_answer):
    for name in ("create", "batch", "list batches", "file", "upload", "list files"):
        answer = every_answer[name]
        assert answer.content.rstrip() == json.dumps(answer.json, indent=2).encode()
    cancelled = every_answer["cancel"]
    assert cancelled.content == json.dumps(cancelled.json, separators=(",", ":")).encode()


def test_row_003_file_json_ends_with_a_newline_and_batch_json_does_not(every_answer):
    assert every_answer["upload"].content.endswith(b"\n}\n")
    assert every_answer["file"].content.endswith(b"\n}\n")
    assert every_answer["create"].content.endswith(b"\n}")
    assert every_answer["batch"].content.endswith(b"\n}")
    assert every_answer["cancel"].content.endswith(b"}")


def test_row_004_json_has_the_content_type_without_charset(door, every_answer):
    for name, answer in every_answer.items():
        expected = "application/octet-stream" if name == "content" else "application/json"
        assert answer.headers["content-type"] == expected
    assert door.send("GET", "/v1/nowhere").headers["content-type"] == "application/json"


def test_row_005_the_api_s_headers_are_on_every_answer(door, every_answer):
    answers = [*every_answer.values(), door.send("GET", "/v1/x"), door.send("PUT", "/v1/files")]
    for answer in answers:
        assert answer.headers["openai-version"] == "2020-10-01"
        assert answer.headers["openai-organization"] == "org-batchsim"
        assert answer.headers["openai-project"] == "proj_batchsim"
        assert 14 <= int(answer.headers["openai-processing-ms"]) <= 700
        kind, _, number = answer.headers["x-request-id"].partition("_")
        assert kind == "req"
        assert len(number) == 32
        assert int(number, 16)
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_row_005_headers_repeat_in_a_second_run(door_to):
    def run():
        door = door_to(App(FakeBackend(seed=1)))
        return [door.send("GET", "/v1/files").headers for _ in range(5)]

    assert run() == run()


def test_rows_006_and_007_no_rate_limit_headers_without_a_429(every_answer):
    for answer in every_answer.values():
        assert not [name for name in answer.headers if name.startswith(("x-ratelimit", "retry-"))]


@pytest.mark.parametrize(
    ("wait", "header"), [(None, None), (0, "1"), (0.2, "1"), (7, "7"), (7.1, "8")]
)
def test_row_007_a_429_may_carry_whole_seconds(wait, header):
    answer = problem.render(RateLimited("slower", retry_after=wait))
    assert answer.status == 429
    assert answer.header("retry-after") == header


def test_row_008_only_the_files_routes_allow_any_origin(door, every_answer):
    files = {"upload", "list files", "file", "content", "delete"}
    for name, answer in every_answer.items():
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == ("*" if name in files else None)
    assert "access-control-allow-origin" not in door.send("GET", "/v1/filesystem").headers


ERRORS = [
    (Refused("m"), 400, "invalid_request_error", None, None),
    (Refused("m", status=413, type=None, param="p", code="c"), 413, None, "p", "c"),
    (Refused("m", status=307), 400, "invalid_request_error", None, None),
    (NotFound("m", status=404, param="id"), 404, "invalid_request_error", "id", None),
    (Conflict("m", status=409), 409, "invalid_request_error", None, None),
    (RateLimited("m"), 429, "requests", None, "rate_limit_exceeded"),
    (InputError("m"), 400, "invalid_request_error", None, None),
    (UsageError("m"), 400, "invalid_request_error", None, None),
    (Unavailable("m"), 503, "server_error", None, None),
    (TransferBroken("m"), 503, "server_error", None, None),
    (OutcomeUnknown("m"), 500, "server_error", None, None),
    (BatchsimError("m"), 500, "server_error", None, None),
]


@pytest.mark.parametrize(("error", "status", "type_", "param", "code"), ERRORS)
def test_row_009_an_error_is_an_envelope_of_four(error, status, type_, param, code):
    answer = problem.render(error)
    envelope = {"message": "m", "type": type_, "param": param, "code": code}
    assert answer.status == status
    assert b"".join(answer.body) == json.dumps({"error": envelope}, indent=2).encode()


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic", "sk-123", "Digest x", "Bearersk-1"]
)
def test_row_010_and_case_093_without_a_key_nobody_is_let_in(door, authorization):
    answer = door.send("GET", "/v1/files", authorization=authorization)
    assert answer.status == 401
    assert answer.error == {
        "message": "Missing bearer or basic authentication in header",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_row_010_and_case_093_two_keys_are_none(door):
    for given in ("Bearer x", "Bearer sk-any"):
        assert door.send("GET", "/v1/files", headers=[("authorization", given)]).status == 401


@pytest.mark.parametrize(
    "authorization",
    ["Bearer x", "bearer x", "Basic dTpw", "Bearer é\udce9", f"Bearer {'x' * 10_000}"],
    ids=["Bearer", "lower case", "Basic", "no ASCII", "10 KB"],
)
def test_row_010_and_case_093_any_key_is_let_in(door, authorization):
    assert door.send("GET", "/v1/files", authorization=authorization).status == 200


@pytest.mark.parametrize("key", ["sk-wrong", "sk-very-wrong-and-long-key", "sk-é", "k" * 10_000])
def test_row_011_and_case_093_a_wrong_key_is_refused_without_being_shown(door_to, key):
    door = door_to(App(FakeBackend(seed=1), api_keys=["sk-right"]))
    assert door.send("GET", "/v1/files", authorization="Bearer sk-right").status == 200
    answer = door.send("GET", "/v1/files", authorization=f"Bearer {key}")
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
    assert answer.error["message"].startswith("Incorrect API key provided: ")
    assert key not in answer.error["message"]
    assert len(answer.error["message"]) < 300


@pytest.mark.parametrize("length", range(1, 41))
def test_of_a_wrong_key_little_is_shown_and_of_a_short_one_nothing(door_to, length):
    key = "0123456789abcdefghijklmnopqrstuvwxyzABCD"[:length]
    answer = door_to(App(FakeBackend(), api_keys=["sk-right"])).send(
        "GET", "/v1/files", authorization=f"Bearer {key}"
    )
    shown = "***" if length < 16 else f"{key[:3]}...{key[-3:]}"
    assert answer.error["message"].startswith(f"Incorrect API key provided: {shown}. You can")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/files/", "/files", "/v1/files/a/b", "/v1/batches/a/b/cancel", "//v1/files",
     "/v1/files//content", "/V1/files", "", "/v1/batches/a/content", "/v1/files%2Fa"],
)  # fmt: skip
def test_row_012_an_unknown_url_is_not_found(door, path):
    answer = door.send("GET", path)
    assert answer.status == 404
    assert answer.error["message"] == f"Invalid URL (GET {path})"
    assert answer.error["type"] == "invalid_request_error"


def test_row_012_a_long_url_is_not_repeated_whole(door):
    assert len(door.send("GET", "/" + "x" * 100_000).content) < 1_000


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/files", "POST, GET"),
        ("HEAD", "/v1/files", "POST, GET"),
        ("get", "/v1/files", "POST, GET"),
        ("POST", "/v1/files/file-1", "GET, DELETE"),
        ("DELETE", "/v1/batches/batch_1", "GET"),
        ("GET", "/v1/batches/batch_1/cancel", "POST"),
        ("OPTIONS", "/v1/batches", "POST, GET"),
    ],
)
def test_a_wrong_method_is_not_allowed(door, method, path, allow):
    answer = door.send(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == allow
    assert answer.error["message"] == f"Not allowed to {method} on {path}"


def test_row_014_unknown_query_parameters_are_ignored(door):
    assert door.send("GET", "/v1/files?before=x&colour=blue&limit=1").status == 200
    assert door.send("GET", "/v1/batches?status=failed&=&&x").status == 200


def test_row_013_a_refused_upload_says_it_twice(door):
    body = door.upload_input(b"x", "notes.txt").json
    message = "Invalid file format for Batch API. Must be .jsonl"
    assert list(body) == ["error", "detail"]
    assert body["error"] == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert body["detail"] == {"message": message, "code": None}


def test_row_013_other_refusals_say_it_once(door):
    for answer in (
        door.upload_input(purpose="fun"),
        door.send("GET", "/v1/files/x"),
        door.send("POST", "/v1/batches", body=[b"{"]),
        door.send("POST", "/v1/files", authorization=None),
    ):
        assert list(answer.json) == ["error"]


def test_row_014_but_not_endlessly_many(door):
    answer = door.send("GET", "/v1/files?" + "&".join(f"a{n}=1" for n in range(1_000)))
    assert answer.status == 400


@pytest.mark.parametrize(
    ("limits", "target"),
    [({"uploads_per_minute": 1}, "/v1/files"), ({"batches_per_hour": 1}, "/v1/batches")],
)
def test_rows_049_and_068_too_much_at_once_is_a_429(door_to, input_content, limits, target):
    door = door_to(App(FakeBackend(limits=Limits(**limits))))
    file_id = door.upload_input(input_content).json["id"]

    def send():
        if target == "/v1/files":
            return door.upload_input(input_content)
        creation = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return door.post_json(target, {**creation, "input_file_id": file_id})

    if target == "/v1/batches":
        assert send().status == 200
    answer = send()
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) in (60, 3_600)


def test_row_020_two_equal_posts_make_two_batches(door, batch_of):
    headers = [("Idempotency-Key", "once")]
    file_id = door.send("GET", f"/v1/batches/{batch_of()}").json["input_file_id"]
    body = {"input_file_id": file_id, "endpoint": "/v1/responses", "completion_window": "24h"}
    ids = {
        door.send("POST", "/v1/batches", body=[json.dumps(body).encode()], headers=headers).json[
            "id"
        ]
        for _ in range(2)
    }
    assert len(ids) == 2


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_case_103_a_header_changes_no_method(door, header):
    file_id = door.upload_input().json["id"]
    path = f"/v1/files/{file_id}"
    assert door.send("GET", path, headers=[(header, "DELETE")]).json["id"] == file_id
    assert door.send("GET", path).status == 200


def test_a_bug_passes_through():
    class Broken(FakeBackend):
        def list_files(self, **_):
            raise ZeroDivisionError

    from batchsim.wire import Request

    request = Request("GET", "/v1/files", headers=(("authorization", "Bearer x"),))
    with pytest.raises(ZeroDivisionError):
        App(Broken()).handle(request)
