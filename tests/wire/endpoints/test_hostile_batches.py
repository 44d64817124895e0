"""What the Batch API must survive, case by case: an answer that says what was
wrong, and no crash.
"""

import json
import threading

import orjson
import pytest

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.domain.lifecycle import Status
from batchsim.wire import App, Tenants

DAY = 86_400
CREATION = {
    "input_file_id": "file-1111111111111111111111",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}


@pytest.fixture
def create(door):
    """Creates a batch, with changes to an unremarkable request; the answer."""
    return lambda **changes: door.post_json("/v1/batches", {**CREATION, **changes})


@pytest.fixture
def refused(door):
    def send(body, *, headers=()):
        answer = door.send("POST", "/v1/batches", body=[body], headers=headers)
        assert 400 <= answer.status < 500
        assert list(answer.error) == ["message", "type", "param", "code"]
        assert door.send("GET", "/v1/batches").json["data"] == []
        return answer

    return send


@pytest.fixture
def finished(door, backend):
    """The batch over that content, a day later."""

    def finish(content):
        file_id = door.upload_input(content).json["id"]
        batch = door.post_json("/v1/batches", {**CREATION, "input_file_id": file_id}).json
        backend.clock.advance(DAY)
        return door.send("GET", f"/v1/batches/{batch['id']}").json

    return finish


def chats(count, **body):
    line = {
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **body},
    }
    return b"".join(orjson.dumps({"custom_id": str(n), **line}) + b"\n" for n in range(count))


@pytest.mark.parametrize(
    ("file_id", "code"),
    [
        (None, "missing_required_parameter"),
        (7, "invalid_type"),
        (["file-x"], "invalid_type"),
        ("", "invalid_value"),
        ("x", "invalid_value"),
        ("FILE-x", "invalid_value"),
    ],
)
def test_case_079_what_is_no_file_id_is_refused(create, file_id, code):
    answer = create(input_file_id=file_id)
    assert (answer.status, answer.error["code"]) == (400, code)
    assert answer.error["param"] == "input_file_id"


@pytest.mark.parametrize("which", ["unknown", "deleted", "another key's"])
def test_case_079_a_file_that_is_not_there_fails_the_batch(door_to, which, input_content):
    clock = FakeBackend().clock
    door = door_to(App(Tenants(lambda digest: FakeBackend(clock=clock))))
    file_id = "file-unknown"
    if which == "deleted":
        file_id = door.upload_input(input_content).json["id"]
        door.send("DELETE", f"/v1/files/{file_id}")
    if which == "another key's":
        file_id = door.upload_input(input_content).json["id"]
    body = orjson.dumps({**CREATION, "input_file_id": file_id})
    key = "Bearer sk-other"
    batch = door.send("POST", "/v1/batches", body=[body], authorization=key)
    assert (batch.status, batch.json["status"]) == (200, "validating")
    clock.advance(DAY)
    batch = door.send("GET", f"/v1/batches/{batch.json['id']}", authorization=key).json
    (error,) = batch["errors"]["data"]
    assert (batch["status"], error["param"]) == ("failed", "file_id")
    assert file_id in error["message"]


def test_case_079_a_file_of_another_purpose_is_refused(door, create, finished, forms):
    other = door.upload([forms.field("purpose", "user_data"), forms.file(b"x")]).json["id"]
    output = finished(chats(1))["output_file_id"]
    for file_id in (other, output):
        answer = create(input_file_id=file_id)
        assert (answer.status, answer.error["param"]) == (400, "input_file_id")


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("endpoint", "/v1/chat/completions/"),
        ("endpoint", "/V1/CHAT/COMPLETIONS"),
        ("endpoint", "v1/chat/completions"),
        ("endpoint", ""),
        ("endpoint", 7),
        ("endpoint", {}),
        ("completion_window", "1h"),
        ("completion_window", "24H"),
        ("completion_window", " 24h"),
        ("completion_window", 24),
    ],
)
def test_case_080_an_endpoint_and_a_window_are_what_they_are(create, param, value):
    answer = create(**{param: value})
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({str(n): "" for n in range(16)}, 200),
        ({str(n): "" for n in range(17)}, 400),
        ({"x" * 64: ""}, 200),
        ({"x" * 65: ""}, 400),
        ({"😀" * 64: "😀" * 512}, 200),
        ({"😀" * 65: ""}, 400),
        ({"a": "x" * 512}, 200),
        ({"a": "x" * 513}, 400),
        ({"a": 1}, 400),
        ({"a": None}, 400),
        ({"a": {}}, 400),
        ({"a": True}, 400),
        ({"": ""}, 200),
        ({"__proto__": "x", "constructor": "y"}, 200),
        ({}, 200),
        (None, 200),
        ("text", 400),
        ([], 400),
    ],
)
def test_case_081_metadata_keeps_to_its_limits(create, metadata, status):
    answer = create(metadata=metadata)
    assert answer.status == status
    if status == 200:
        assert answer.json["metadata"] == metadata


def test_case_082_metadata_is_text_whatever_it_looks_like(create):
    page = "<script>alert(1)</script>\r\nSet-Cookie: x\x00"
    answer = create(metadata={"page": page})
    assert answer.json["metadata"] == {"page": page}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


GOOD = json.dumps(CREATION).encode()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b" " * 10_000_000 + GOOD, "application/json", 413),
        (b"[" * 100_000 + b"]" * 100_000, "application/json", 400),
        (b'{"metadata": ' + b'{"a": ' * 500 + b"1" + b"}" * 501, "application/json", 400),
        (b'{"input_file_id": "file-1", ' + GOOD[1:], "application/json", 400),
        (b'{"\\u0069nput_file_id": "file-1", ' + GOOD[1:], "application/json", 400),
        (GOOD, "text/plain", 415),
        (GOOD, "application/x-www-form-urlencoded", 415),
        (GOOD, "application/json; charset=utf-16", 415),
        (GOOD.decode().encode("utf-16"), "application/json", 400),
        (GOOD.replace(b"24h", b"\xff"), "application/json", 400),
        (GOOD.replace(b"24h", b"\\ud800"), "application/json", 400),
        (GOOD[:-1], "application/json", 400),
        (GOOD + b"x", "application/json", 400),
        (GOOD.replace(b'"24h"', b"NaN"), "application/json", 400),
        (GOOD.replace(b'"24h"', b"1e999"), "application/json", 400),
        (GOOD.replace(b'"24h"', b"9" * 5_000), "application/json", 400),
        (b"", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"7", "application/json", 400),
        (b"\x00", "application/json", 400),
    ],
)
def test_case_083_a_body_that_is_no_request_is_refused(refused, body, kind, status):
    assert refused(body, headers=[("Content-Type", kind)]).status == status


def test_case_083_a_body_may_nest_as_deep_as_a_line(door, refused):
    def nested(depth):
        return GOOD[:-1] + b', "metadata": ' + b'{"a": ' * depth + b"1" + b"}" * (depth + 1)

    assert refused(nested(127)).error["param"] == "metadata.a"
    message = "The JSON body is nested more than 128 levels deep."
    assert refused(nested(128)).error["message"] == message


def test_case_083_a_parameter_twice_is_named(refused):
    answer = refused(b'{"endpoint": "/v1/responses", ' + GOOD[1:])
    assert answer.error["message"] == "Duplicate parameter: 'endpoint'."
    assert answer.error["param"] == "endpoint"


@pytest.mark.parametrize(
    "kind",
    [None, "application/json", "APPLICATION/JSON", 'application/json ; charset="UTF-8"'],
)
def test_case_083_json_is_taken_however_it_is_declared(door, kind):
    headers = [] if kind is None else [("Content-Type", kind)]
    assert door.send("POST", "/v1/batches", body=[GOOD], headers=headers).status == 200


def test_case_084_the_same_request_twice_is_two_batches(door, create):
    first, second = (create().json["id"] for _ in range(2))
    assert first != second
    assert len(door.send("GET", "/v1/batches").json["data"]) == 2


@pytest.mark.parametrize("status", Status)
def test_case_085_cancelling_in_each_status(door_to, status, input_content):
    endless = {
        Status.VALIDATING: Pacing(validating=9e9),
        Status.IN_PROGRESS: Pacing(running=9e9),
        Status.FINALIZING: Pacing(finalizing=9e9),
        Status.CANCELLING: Pacing(running=9e9, cancelling=9e9),
        Status.CANCELLED: Pacing(running=9e9),
        Status.EXPIRED: Pacing(running=9e9),
    }
    backend = FakeBackend(pacing=endless.get(status))
    door = door_to(App(backend))
    content = b"{}\n" if status is Status.FAILED else input_content
    file_id = door.upload_input(content).json["id"]
    batch = door.post_json("/v1/batches", {**CREATION, "input_file_id": file_id}).json
    path = f"/v1/batches/{batch['id']}"
    backend.clock.advance(2 * DAY if status is Status.EXPIRED else 3_600)
    if status in (Status.CANCELLING, Status.CANCELLED):
        door.send("POST", f"{path}/cancel")
        backend.clock.advance(3_600)
    assert door.send("GET", path).json["status"] == status

    answer = door.send("POST", f"{path}/cancel")

    if status in (Status.COMPLETED, Status.FAILED, Status.EXPIRED):
        assert answer.status == 409
        assert answer.error["message"] == f"Cannot cancel a batch with status '{status}'."
    else:
        assert answer.status == 200
        assert answer.json["status"] == (
            "cancelled" if status is Status.CANCELLED else "cancelling"
        )
        assert door.send("POST", f"{path}/cancel").json == answer.json


def test_case_085_at_the_moment_of_its_completion_a_batch_has_one_end(door, backend, batch_of):
    path = f"/v1/batches/{batch_of()}"
    while door.send("GET", path).json["status"] != "finalizing":
        backend.clock.advance(1)
    backend.clock.advance(10)
    answers = []
    barrier = threading.Barrier(4)

    def ask(method, target):
        barrier.wait()
        answers.append(door.send(method, target).status)

    threads = [
        threading.Thread(target=ask, args=each)
        for each in (("POST", f"{path}/cancel"), ("GET", path)) * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 200, 409, 409]
    assert door.send("GET", path).json["status"] == "completed"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400), ("limit=-1", 400), ("limit=101", 400), ("limit=1e9", 400),
        ("limit=abc", 400), ("limit=1&limit=2", 200), ("limit=", 200), ("limit=100", 200),
        ("after=batch_x", 404), ("after=file-x", 404), ("after=%00", 404),
    ],
)  # fmt: skip
def test_case_086_a_list_s_query_is_taken_or_refused(door, query, status):
    assert door.send("GET", f"/v1/batches?{query}").status == status


def test_case_086_pages_neither_skip_nor_repeat_while_batches_are_created(door, create):
    there = [create().json["id"] for _ in range(25)]
    seen, query = [], "limit=10"
    while True:
        page = door.send("GET", f"/v1/batches?{query}").json
        seen += [batch["id"] for batch in page["data"]]
        if not page["has_more"]:
            break
        query = f"limit=10&after={page['last_id']}"
        for _ in range(7):
            create()
    assert seen == there[::-1]


def test_case_087_one_bad_line_of_many_fails_the_batch(finished):
    content = chats(5_000).splitlines(keepends=True)
    content[2_999] = b"{\n"
    batch = finished(b"".join(content))
    assert batch["status"] == "failed"
    assert [(error["code"], error["line"]) for error in batch["errors"]["data"]] == [
        ("invalid_json_line", 3_000)
    ]
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}


def test_case_088_very_many_bad_lines_are_not_all_listed(finished):
    batch = finished(b"{}\n" * 50_000)
    assert batch["status"] == "failed"
    assert [error["line"] for error in batch["errors"]["data"]] == list(range(1, 101))


def test_case_089_a_file_deleted_before_validation_ends_fails_the_batch(door, backend, batch_of):
    path = f"/v1/batches/{batch_of()}"
    door.send("DELETE", f"/v1/files/{door.send('GET', path).json['input_file_id']}")
    backend.clock.advance(DAY)
    batch = door.send("GET", path).json
    assert (batch["status"], batch["in_progress_at"]) == ("failed", None)
    assert "Cannot find file" in batch["errors"]["data"][0]["message"]


def test_case_090_times_never_go_back_when_the_clock_does(door_to, input_content):
    class Clock:
        time = 1_700_000_000.0

        def now(self):
            return self.time

        def sleep(self, seconds):
            self.time += seconds

    clock = Clock()
    door = door_to(App(FakeBackend(clock=clock)))
    file_id = door.upload_input(input_content).json["id"]
    batch = door.post_json("/v1/batches", {**CREATION, "input_file_id": file_id}).json
    path = f"/v1/batches/{batch['id']}"
    for step in (70, -5_000, 4_900, -10, 200, 300):
        clock.time += step
        now = door.send("GET", path).json
    stamps = [now[name] for name in ("created_at", "in_progress_at", "finalizing_at")]
    stamps.append(now["completed_at"])
    assert stamps == sorted(stamps)
    assert now["expires_at"] == now["created_at"] + DAY


@pytest.mark.parametrize(
    ("content", "output", "errors"),
    [(chats(3), True, False), (chats(3, temperature=9), False, True)],
)
def test_case_091_a_file_without_lines_is_not_made(finished, content, output, errors):
    batch = finished(content)
    assert batch["status"] == "completed"
    assert (bool(batch["output_file_id"]), bool(batch["error_file_id"])) == (output, errors)


@pytest.mark.parametrize("letter", ["%D0%B0", "%EF%BD%82", "%E2%80%8B", "%CC%81"])
def test_case_092_letters_that_look_alike_are_others(door, batch_of, letter):
    batch_id = batch_of()
    answer = door.send("GET", f"/v1/batches/{batch_id}{letter}")
    assert answer.status == 404
    assert door.send("GET", f"/v1/batches/b{letter}tch_x").status == 400
