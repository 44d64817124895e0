"""Checklist rows 21 to 48, as far as REST shows them."""

import io
import itertools
import json

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import TransferBroken
from batchsim.wire import App, Request

FILE_KEYS = ["object", "id", "purpose", "filename", "bytes", "created_at", "expires_at", "status",
             "status_details"]  # fmt: skip


def test_row_021_parts_come_in_any_order(door, forms, input_content):
    parts = [
        forms.field("purpose", "batch"),
        forms.field("expires_after[anchor]", "created_at"),
        forms.field("expires_after[seconds]", "3600"),
        forms.file(input_content),
    ]
    for order in itertools.permutations(parts):
        answer = door.upload(order)
        assert answer.status == 200
        assert answer.json["expires_at"] == answer.json["created_at"] + 3_600
        content = door.send("GET", f"/v1/files/{answer.json['id']}/content").content
        assert content == input_content


def test_row_022_a_file_called_upload_is_taken(door, input_content):
    assert door.upload_input(input_content, "upload").json["filename"] == "upload"


def test_row_023_a_text_file_is_refused(door, input_content):
    answer = door.upload_input(input_content, "notes.txt")
    assert answer.status == 400
    assert answer.error["message"] == "Invalid file format for Batch API. Must be .jsonl"
    assert (answer.error["param"], answer.error["code"]) == (None, None)


@pytest.mark.parametrize(
    "kind", ["application/jsonl", "application/octet-stream", "text/plain", "image/png", None]
)
def test_row_024_the_part_s_content_type_is_not_checked(door, forms, input_content, kind):
    file = forms.file(input_content, kind=kind)
    assert door.upload([forms.field("purpose", "batch"), file]).status == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": "é"}\n'.encode("utf-16"), "Invalid file for Batch API. Must be utf-8 encoded"),
        (b"", "Invalid file format for Batch API. Must be .jsonl"),
        (b"no JSON\n{}\n", "Invalid file format for Batch API. Must be .jsonl"),
    ],
    ids=["row 25", "row 26", "row 27"],
)
def test_rows_025_to_027_a_file_that_is_no_input_is_refused(door, content, message):
    answer = door.upload_input(content)
    assert answer.status == 400
    assert answer.error["message"] == message
    assert door.send("GET", "/v1/files").json["data"] == []


@pytest.mark.parametrize("content", [b'{"a": 1}\nno JSON\n', b'{"custom_id": "1"}\n'])
def test_rows_028_and_029_only_the_first_line_is_looked_at(door, content):
    assert door.upload_input(content).status == 200


def test_row_031_an_unknown_purpose_is_refused(door):
    answer = door.upload_input(purpose="x")
    assert answer.status == 400
    assert answer.error == {
        "message": "'x' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', "
        "'evals'] - 'purpose'",
        "type": "invalid_request_error",
        "param": "purpose",
        "code": None,
    }


def test_rows_032_033_036_and_038_an_upload_is_answered_with_the_file(door, input_content):
    answer = door.upload_input(input_content)
    assert list(answer.json) == FILE_KEYS
    assert answer.json["status"] == "processed"
    assert answer.json["expires_at"] == answer.json["created_at"] + 2_592_000
    assert answer.json["bytes"] == len(input_content)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
    ]
    + [
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": wrong},
         "expires_after.seconds")
        for wrong in ("3599", "2592001", "3600.5", "1e4", "", "٣٦٠٠", "0x1000", "3_600", "-1")
    ],
)  # fmt: skip
def test_row_034_a_lifetime_must_be_in_range(door, fields, param):
    answer = door.upload_input(**fields)
    assert answer.status == 400
    assert answer.error["param"] == param


def test_row_035_in_2024_an_upload_did_not_know_its_expiry_yet(backend, door_to, input_content):
    door = door_to(App(backend, profile="2024"))
    uploaded = door.upload_input(input_content).json
    assert list(uploaded) == FILE_KEYS
    assert uploaded["expires_at"] is None
    later = door.send("GET", f"/v1/files/{uploaded['id']}").json
    assert later["expires_at"] == later["created_at"] + 2_592_000


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_row_039_an_unknown_file_is_not_found(door, method):
    answer = door.send(method, "/v1/files/file-1")
    assert answer.status == 404
    assert answer.error == {
        "message": "No such File object: file-1",
        "type": "invalid_request_error",
        "param": "id",
        "code": None,
    }


@pytest.mark.parametrize("segment", ["%2e%2e%2fx", "%00", "x" * 10_000, "%E6%97%A5", "file-%0A"])
def test_an_odd_id_is_only_unknown(door, segment):
    assert door.send("GET", f"/v1/files/{segment}").status == 404
    assert door.send("GET", f"/v1/files/{segment}/content").status == 404


def test_row_040_a_deletion_is_confirmed_once(door):
    file_id = door.upload_input().json["id"]
    answer = door.send("DELETE", f"/v1/files/{file_id}")
    assert answer.json == {"object": "file", "id": file_id, "deleted": True}
    assert list(answer.json) == ["object", "id", "deleted"]
    for method in ("DELETE", "GET"):
        assert door.send(method, f"/v1/files/{file_id}").status == 404


def test_rows_041_and_042_files_are_listed(door):
    ids = [door.upload_input().json["id"] for _ in range(3)]
    other = door.upload_input(purpose="user_data").json["id"]
    answer = door.send("GET", "/v1/files?purpose=batch&limit=2").json
    assert list(answer) == ["object", "data", "has_more", "first_id", "last_id"]
    assert [file["id"] for file in answer["data"]] == [ids[2], ids[1]]
    assert (answer["has_more"], answer["first_id"], answer["last_id"]) == (True, ids[2], ids[1])
    rest = door.send("GET", f"/v1/files?purpose=batch&after={ids[1]}").json
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    oldest = door.send("GET", "/v1/files?order=asc").json["data"]
    assert [file["id"] for file in oldest] == [*ids, other]


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=-1", "limit"), ("limit=10001", "limit"), ("limit=1e9", "limit"),
     ("limit=abc", "limit"), ("limit=0&limit=1", "limit"), ("order=up", "order")],
)  # fmt: skip
def test_a_list_that_cannot_be_is_refused(door, query, param):
    answer = door.send("GET", f"/v1/files?{query}")
    assert answer.status == 400
    assert answer.error["param"] == param


def test_rows_044_and_045_content_is_a_download(door, input_content):
    file_id = door.upload_input(input_content, 'a "b" é\\c.jsonl').json["id"]
    answer = door.send("GET", f"/v1/files/{file_id}/content")
    assert answer.content == input_content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(input_content))


@pytest.mark.parametrize(
    ("filename", "disposition"),
    [
        ("input.jsonl", 'attachment; filename="input.jsonl"'),
        ("a b.jsonl", 'attachment; filename="a b.jsonl"'),
        ("é.jsonl", "attachment; filename=\"_.jsonl\"; filename*=UTF-8''%C3%A9.jsonl"),
        (
            'x"\r\nset-cookie: y\\.jsonl',
            (
                'attachment; filename="x___set-cookie: y_.jsonl"; '
                "filename*=UTF-8''x%22%0D%0Aset-cookie%3A%20y%5C.jsonl"
            ),
        ),
    ],
)
def test_row_044_no_filename_can_break_the_header(backend, door, filename, disposition):
    file = backend.upload_file(io.BytesIO(b"{}\n"), filename=filename)
    answer = door.send("GET", f"/v1/files/{file.id}/content")
    assert answer.headers["content-disposition"] == disposition


def test_row_046_user_data_cannot_be_downloaded(door):
    file_id = door.upload_input(purpose="user_data").json["id"]
    answer = door.send("GET", f"/v1/files/{file_id}/content")
    assert answer.status == 400
    assert answer.error["message"] == "Not allowed to download files of purpose: user_data"


def test_row_047_expired_content_is_not_found(backend, door):
    file_id = door.upload_input().json["id"]
    backend.clock.advance(2_592_001)
    assert door.send("GET", f"/v1/files/{file_id}/content").status == 404


@pytest.mark.parametrize("wanted", ["bytes=0-0", "bytes=5-2", "items=1", "bytes=" + "0-," * 1_000])
def test_row_048_a_range_is_ignored(door, input_content, wanted):
    file_id = door.upload_input(input_content).json["id"]
    answer = door.send("GET", f"/v1/files/{file_id}/content", headers=[("Range", wanted)])
    assert (answer.status, answer.content) == (200, input_content)
    assert not {"accept-ranges", "content-range", "etag"} & answer.headers.keys()


def test_content_that_breaks_off_under_way_breaks_the_body():
    class Breaking(FakeBackend):
        def read_file(self, file_id):
            yield from super().read_file(file_id)
            raise TransferBroken("no more")

    backend = Breaking()
    file = backend.upload_file(io.BytesIO(b"{}\n"), filename="a.jsonl")
    headers = (("authorization", "Bearer x"),)
    answer = App(backend).handle(Request("GET", f"/v1/files/{file.id}/content", headers=headers))
    pieces = iter(answer.body)
    assert next(pieces) == b"{}\n"
    with pytest.raises(TransferBroken):
        next(pieces)


def test_an_empty_file_has_empty_content(door):
    file_id = door.upload_input(b"", "notes.txt", purpose="fine-tune").json["id"]
    answer = door.send("GET", f"/v1/files/{file_id}/content")
    assert (answer.status, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_a_list_of_files_is_json_as_recorded(door):
    assert door.send("GET", "/v1/files").content == (
        json.dumps(
            {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None},
            indent=2,
        ).encode()
        + b"\n"
    )
