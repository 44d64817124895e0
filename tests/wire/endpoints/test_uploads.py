"""The Uploads API: one file in several parts."""

import hashlib

import pytest

from batchsim.backends.fake import Faults, RequestFault
from batchsim.domain.transport_failures import Unanswered
from batchsim.stores.spool import joined

CONTENT = b'{"custom_id": "1"}\n' * 100
CREATION = {
    "bytes": len(CONTENT),
    "filename": "input.jsonl",
    "mime_type": "application/jsonl",
    "purpose": "batch",
}


@pytest.fixture
def begin(door):
    """Begins an upload; its id."""
    return lambda **changes: door.post_json("/v1/uploads", {**CREATION, **changes}).json["id"]


@pytest.fixture
def add_part(door, forms):
    """Adds a part to an upload; the answer."""

    def add(upload_id, content, *, name="data"):
        parts = [forms.file(content, "upload", name=name)]
        return door.upload(parts, target=f"/v1/uploads/{upload_id}/parts")

    return add


@pytest.fixture
def end(door):
    """Completes an upload, or cancels it without part ids; the answer."""

    def complete(upload_id, part_ids=None, **body):
        if part_ids is None:
            return door.send("POST", f"/v1/uploads/{upload_id}/cancel")
        return door.post_json(f"/v1/uploads/{upload_id}/complete", {"part_ids": part_ids, **body})

    return complete


def test_row_051_an_upload_begins_pending_and_lasts_an_hour(door):
    answer = door.post_json("/v1/uploads", CREATION)
    upload = answer.json
    identifier, created = upload.pop("id"), upload.pop("created_at")
    assert answer.status == 200
    assert identifier.startswith("upload_")
    assert upload == {
        "object": "upload",
        "bytes": len(CONTENT),
        "filename": "input.jsonl",
        "purpose": "batch",
        "status": "pending",
        "expires_at": created + 3_600,
        "file": None,
    }


def test_row_051_a_part_names_its_upload(begin, add_part):
    upload_id = begin()
    part = add_part(upload_id, b"x").json
    assert part["id"].startswith("part_")
    assert {**part, "id": "", "created_at": 0} == {
        "id": "",
        "object": "upload.part",
        "created_at": 0,
        "upload_id": upload_id,
    }


def test_row_051_parts_become_a_file_in_the_order_named_on_completion(door, begin, add_part, end):
    upload_id = begin()
    size = 333
    starts = list(range(0, len(CONTENT), size))
    ids = {
        start: add_part(upload_id, CONTENT[start : start + size]).json["id"]
        for start in reversed(starts)
    }
    upload = end(upload_id, [ids[start] for start in starts]).json
    assert (upload["status"], upload["file"]["status"]) == ("completed", "processed")
    file = door.send("GET", f"/v1/files/{upload['file']['id']}").json
    assert file == upload["file"]
    assert (file["filename"], file["bytes"], file["purpose"]) == (
        *("input.jsonl", len(CONTENT)),
        "batch",
    )
    assert door.send("GET", f"/v1/files/{file['id']}/content").content == CONTENT


def test_row_051_parts_may_be_left_out(door, begin, add_part, end):
    upload_id = begin()
    _, good = (add_part(upload_id, content).json["id"] for content in (b"wrong", CONTENT))
    assert end(upload_id, [good]).json["status"] == "completed"


def test_row_051_parts_larger_than_a_block_come_through(door, begin, add_part, end):
    content = b'{"a": 1}\n' + b"x" * 3_000_000
    upload_id = begin(bytes=len(content))
    ids = [
        add_part(upload_id, content[part]).json["id"]
        for part in (slice(0, 2_500_000), slice(2_500_000, None))
    ]
    file_id = end(upload_id, ids).json["file"]["id"]
    assert door.send("GET", f"/v1/files/{file_id}/content").content == content


def test_row_051_the_lifetime_is_the_file_s(door, begin, add_part, end):
    upload_id = begin(expires_after={"anchor": "created_at", "seconds": 7_200})
    file = end(upload_id, [add_part(upload_id, CONTENT).json["id"]]).json["file"]
    assert file["expires_at"] == file["created_at"] + 7_200


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_row_052_another_size_than_announced_is_refused_and_may_be_mended(
    begin, add_part, end, size
):
    upload_id = begin()
    wrong = add_part(upload_id, b"x" * size).json["id"]
    answer = end(upload_id, [wrong])
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert str(size) in answer.error["message"]
    right = add_part(upload_id, CONTENT).json["id"]
    assert end(upload_id, [right]).status == 200


def test_row_052_an_md5_digest_is_compared(begin, add_part, end):
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    digest = hashlib.md5(CONTENT).hexdigest()
    wrong = end(upload_id, [part_id], md5="0" * 32)
    assert (wrong.status, wrong.error["param"]) == (400, "md5")
    assert end(upload_id, [part_id], md5=digest.upper()).status == 200


def test_row_053_a_part_of_more_than_64_mib_is_refused(monkeypatch, begin, add_part):
    from batchsim.wire.endpoints import uploads

    assert uploads.LARGEST_PART == 64 * 1024 * 1024
    monkeypatch.setattr(uploads, "LARGEST_PART", 1_000)
    upload_id = begin()
    assert add_part(upload_id, b"x" * 1_000).status == 200
    answer = add_part(upload_id, b"x" * 1_001)
    assert (answer.status, answer.error["message"]) == (400, "File is too large.")


def test_row_053_after_an_hour_an_upload_is_gone(backend, begin, add_part, end):
    upload_id = begin()
    backend.clock.advance(3_599)
    part_id = add_part(upload_id, CONTENT).json["id"]
    backend.clock.advance(1)
    for answer in (add_part(upload_id, b"x"), end(upload_id, [part_id]), end(upload_id)):
        assert answer.status == 404
        assert answer.error["message"] == f"No such Upload object: {upload_id}"


def test_case_077_an_upload_ends_once(begin, add_part, end):
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    assert end(upload_id, [part_id]).status == 200
    for answer in (add_part(upload_id, b"x"), end(upload_id, [part_id]), end(upload_id)):
        assert answer.status == 400
        assert "an Upload with status 'completed'" in answer.error["message"]


def test_case_077_a_cancelled_upload_takes_nothing_more(begin, add_part, end):
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    first = end(upload_id)
    assert (first.status, first.json["status"]) == (200, "cancelled")
    assert end(upload_id).json == first.json
    for answer in (add_part(upload_id, b"x"), end(upload_id, [part_id])):
        assert answer.status == 400
        assert "an Upload with status 'cancelled'" in answer.error["message"]


@pytest.mark.parametrize(
    ("part_ids", "param"),
    [
        ([], "part_ids"),
        (["part_x"], "part_ids"),
        ([7], "part_ids[0]"),
        ("part_x", "part_ids"),
        ([None], "part_ids[0]"),
    ],
)
def test_case_077_parts_that_are_none_are_refused(begin, end, part_ids, param):
    answer = end(begin(), part_ids)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_case_077_a_part_counts_once_and_for_its_own_upload(begin, add_part, end):
    mine, other = begin(), begin()
    part_id = add_part(mine, CONTENT[: len(CONTENT) // 2]).json["id"]
    assert end(mine, [part_id, part_id]).status == 400
    assert end(other, [part_id]).status == 400


def test_case_077_the_part_is_called_data(begin, add_part):
    answer = add_part(begin(), b"x", name="file")
    assert (answer.status, answer.error["param"]) == (400, "data")


def test_an_upload_has_only_so_many_parts(monkeypatch, begin, add_part):
    monkeypatch.setattr("batchsim.wire.endpoints.upload_state.MOST_PARTS", 2)
    upload_id = begin()
    assert [add_part(upload_id, b"x").status for _ in range(3)] == [200, 200, 400]


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"bytes": None}, "bytes", "missing_required_parameter"),
        ({"bytes": "7"}, "bytes", "invalid_type"),
        ({"bytes": True}, "bytes", "invalid_type"),
        ({"bytes": 0}, "bytes", "integer_below_min_value"),
        ({"bytes": (8 << 30) + 1}, "bytes", "integer_above_max_value"),
        ({"filename": None}, "filename", "missing_required_parameter"),
        ({"filename": 7}, "filename", "invalid_type"),
        ({"filename": "notes.txt"}, None, None),
        ({"mime_type": None}, "mime_type", "missing_required_parameter"),
        ({"purpose": None}, "purpose", "missing_required_parameter"),
        ({"purpose": "fun"}, "purpose", None),
        ({"colour": "blue"}, "colour", "unknown_parameter"),
        ({"expires_after": 7}, "expires_after", "invalid_type"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 1}},
            "expires_after.seconds",
            "integer_below_min_value",
        ),
    ],
)
def test_an_upload_that_cannot_be_is_refused(door, changes, param, code):
    answer = door.post_json("/v1/uploads", {**CREATION, **changes})
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)


def test_8_gib_may_be_announced(door):
    assert door.post_json("/v1/uploads", {**CREATION, "bytes": 8 << 30}).status == 200


def test_what_the_parts_make_is_checked_as_any_upload(begin, add_part, end):
    upload_id = begin(bytes=4)
    answer = end(upload_id, [add_part(upload_id, b"junk").json["id"]])
    assert answer.status == 400
    assert answer.error["message"] == "Invalid file format for Batch API. Must be .jsonl"


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_pieces_are_one_stream_however_it_is_read(size):
    pieces = [b"abcdef", b"g", b"hijklmnopq"]
    with joined(iter(pieces)) as stream:
        assert b"".join(iter(lambda: stream.read(size), b"")) == b"".join(pieces)


def test_an_upload_is_its_key_s_own(door_to, forms):
    from batchsim.backends.fake import FakeBackend
    from batchsim.wire import App, Tenants

    door = door_to(App(Tenants(lambda _: FakeBackend())))
    upload_id = door.post_json("/v1/uploads", CREATION).json["id"]
    target = f"/v1/uploads/{upload_id}/cancel"
    assert door.send("POST", target, authorization="Bearer sk-other").status == 404
    assert door.send("POST", target).status == 200


def only(fault, call, **options):
    return Faults(requests=(RequestFault(fault, call=call, nth=1, **options),))


@pytest.mark.parametrize("call", ["create_upload", "add_part", "cancel_upload", "upload_file"])
def test_a_refusal_of_each_request_of_an_upload_changes_nothing(
    backend, begin, add_part, end, call
):
    backend.set_faults(only("error", call, status=503))
    asked = {
        "create_upload": begin,
        "add_part": lambda: add_part(upload_id, CONTENT).json["id"],
        "upload_file": lambda: end(upload_id, [part_id]).json["file"]["bytes"],
        "cancel_upload": lambda: end(other_id).json["status"],
    }

    def ask(name):
        if name == call:
            with pytest.raises(KeyError):
                asked[name]()
        return asked[name]()

    upload_id = ask("create_upload")
    part_id = ask("add_part")
    other_id = begin()
    assert ask("cancel_upload") == "cancelled"
    assert ask("upload_file") == len(CONTENT)
    assert len(backend.list_files().data) == 1


def test_the_answer_to_a_completion_may_be_lost_after_its_effect(backend, begin, add_part, end):
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    backend.set_faults(only("reply_lost", "upload_file"))
    with pytest.raises(Unanswered, match="closed"):
        end(upload_id, [part_id])
    assert [file.bytes for file in backend.list_files().data] == [len(CONTENT)]
    again = end(upload_id, [part_id])
    assert again.error["message"] == "Cannot complete an Upload with status 'completed'."
    assert len(backend.list_files().data) == 1


def test_a_completion_may_take_effect_late(backend, begin, add_part, end):
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    backend.set_faults(only("late", "upload_file", seconds=90))
    with pytest.raises(Unanswered, match="silent"):
        end(upload_id, [part_id])
    assert backend.list_files().data == ()
    backend.clock.sleep(90)
    (file,) = backend.list_files().data
    assert b"".join(backend.read_file(file.id)) == CONTENT


@pytest.mark.parametrize("fault", ["reply_lost", "late", "duplicated"])
def test_a_part_that_arrives_without_an_answer_or_twice_harms_no_other(
    backend, begin, add_part, end, fault
):
    upload_id = begin()
    backend.set_faults(only(fault, "add_part"))
    try:
        part_id = add_part(upload_id, CONTENT).json["id"]
    except Unanswered:
        part_id = add_part(upload_id, CONTENT).json["id"]
    assert end(upload_id, [part_id]).json["file"]["bytes"] == len(CONTENT)


def test_the_requests_of_an_upload_are_in_the_journal(backend, begin, add_part, end):
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    file_id = end(upload_id, [part_id]).json["file"]["id"]
    entries = backend.requests.entries()
    assert [each.call for each in entries] == ["create_upload", "add_part", "upload_file"]
    assert [each.made for each in entries] == [None, None, file_id]
    assert f"{upload_id} -> {part_id}" in entries[1].words


def test_while_parts_become_a_file_the_upload_is_complete(begin, add_part, end, backend, door):
    """A second request for the same is not held up by the first, nor does it make another file."""
    upload_id = begin()
    part_id = add_part(upload_id, CONTENT).json["id"]
    answers = []
    upload_file = backend.undisturbed.upload_file

    def meanwhile(content, **options):
        if not answers:
            answers.append(end(upload_id, [part_id]))
            answers.append(add_part(upload_id, CONTENT))
        return upload_file(content, **options)

    backend.undisturbed.upload_file = meanwhile
    assert end(upload_id, [part_id]).status == 200
    assert [each.status for each in answers] == [400, 400]
    assert len(backend.list_files().data) == 1


def test_what_makes_no_file_leaves_the_upload_as_it_was(begin, add_part, end):
    upload_id = begin(bytes=4)
    junk = add_part(upload_id, b"junk").json["id"]
    assert end(upload_id, [junk]).status == 400
    good = add_part(upload_id, b"{ }\n").json["id"]
    assert end(upload_id, [good]).json["status"] == "completed"
