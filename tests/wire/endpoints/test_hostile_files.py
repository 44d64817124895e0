"""What the Files API must survive, case by case: an answer that says what was wrong, and no crash.

The cases of a connection (lengths, chunks, slow senders: 63 to 66) belong to the server.
"""

import pytest

from batchsim.domain.files import UPLOAD_PURPOSES
from batchsim.errors import Refused
from batchsim.wire import Request
from batchsim.wire.http.form import read_upload

LINE = b'{"custom_id": "1"}\n'


@pytest.fixture
def refused(door):
    """Sends a request that must be refused in the API's way; the answer."""

    def send(method, target, **request):
        answer = door.send(method, target, **request)
        assert 400 <= answer.status < 500
        assert list(answer.error) == ["message", "type", "param", "code"]
        return answer

    return send


@pytest.fixture
def send_form(refused, forms):
    def send(parts, *, boundary="b", kind=None, headers=(), cut=None):
        kind = kind or f"multipart/form-data; boundary={boundary}"
        body = parts if isinstance(parts, bytes) else forms.multipart(parts, boundary)
        headers = [("Content-Type", kind), *headers]
        return refused("POST", "/v1/files", body=[body[:cut]], headers=headers)

    return send


def test_case_056_purpose_and_file_are_required_once(send_form, forms):
    purpose, content = forms.field("purpose", "batch"), forms.file(LINE)
    for parts, param in (
        ([content], "purpose"),
        ([purpose], "file"),
        ([], "file"),
        ([purpose, purpose, content], "purpose"),
        ([purpose, content, content], "file"),
        ([forms.field("purpose", ""), content], "purpose"),
        ([forms.field("purpose", "Batch"), content], "purpose"),
        ([forms.field("purpose", "batch_output"), content], "purpose"),
        ([purpose, forms.file(b"")], None),
    ):
        answer = send_form(parts)
        assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("filename", "status"),
    [("a.txt", 400), ("a.json", 400), ("a.jsonl.gz", 400), ("a", 200), ("upload", 200),
     ("A.JSONL", 200), ("dir.d/a", 200), (".jsonl", 200)],
)  # fmt: skip
def test_case_057_the_extension_must_be_jsonl_or_absent(door, filename, status):
    assert door.upload_input(LINE, filename).status == status


@pytest.mark.parametrize(
    ("filename", "kept"),
    [
        *((name, name) for name in ("../../x", "/abs", "CON", "x" * 300, "   ", "日本語", "a\tb")),
        ("x%00y", "x%00y"),
        (r"..\\x.jsonl", r"..\\x.jsonl"),
        (r"C:\dir\x.jsonl", "x.jsonl"),  # an old browser's habit, which the form parser knows
    ],
)
def test_case_058_a_filename_is_kept_as_text(door, filename, kept):
    answer = door.upload_input(LINE, filename)
    assert (answer.status, answer.json["filename"]) == (200, kept)
    assert door.send("GET", f"/v1/files/{answer.json['id']}/content").content == LINE


@pytest.mark.parametrize("filename", ["x\0y", "a.", "", "..", "\x7f"])
def test_case_058_a_filename_that_is_odd_is_kept_or_refused(door, filename):
    answer = door.upload_input(LINE, filename)
    assert answer.status in (200, 400)
    assert answer.status == 400 or answer.json["filename"] == filename


def test_case_059_of_two_filenames_one_wins(door, forms):
    part = (
        b'Content-Disposition: form-data; name="file"; filename="plain.jsonl"; '
        b"filename*=UTF-8''other.txt\r\n\r\n" + LINE
    )
    answer = door.upload([forms.field("purpose", "batch"), part])
    assert answer.json["filename"] == "plain.jsonl"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ('multipart/form-data; boundary=""', 400),
        ("multipart/form-data; boundary=" + "b" * 201, 400),
        ("multipart/form-data; boundary=other", 400),
        ("multipart/mixed; boundary=b", 400),
        ("", 400),
    ],
)
def test_case_060_a_form_without_its_boundary_is_refused(send_form, forms, kind, status):
    parts = [forms.field("purpose", "batch"), forms.file(LINE)]
    body = forms.multipart(parts, "b")
    assert send_form(body, kind=kind or "text/plain").status == status


@pytest.mark.parametrize("boundary", ["b" * 70, "b" * 71, "b" * 200, "with space", "a:b=c?", "-"])
def test_case_060_any_boundary_of_a_sane_length_is_found(door, forms, boundary):
    content = LINE + b"\n--" + boundary.encode() + b"x\r\n--\r\n-" + boundary[:-1].encode()
    form = forms.multipart([forms.field("purpose", "batch"), forms.file(content)], boundary)
    kind = f'multipart/form-data; boundary="{boundary}"'
    answer = door.send("POST", "/v1/files", body=[form], headers=[("Content-Type", kind)])
    assert (answer.status, answer.json["bytes"]) == (200, len(content))


@pytest.mark.parametrize(
    "part",
    [
        b"\r\n".join(b"X-%d: y" % n for n in range(1_000)) + b"\r\n\r\nx",
        b'Content-Disposition: form-data; name="' + b"x" * 1_000_000 + b'"\r\n\r\nx',
        b'Content-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 100_000,
        b"no header at all",
        b"Content-Disposition: attachment\r\n\r\nx",
        b'Content-Disposition: form-data; name="a\xff"\r\n\r\nx',
        b'Content-Disposition: form-data; name="a"\r\n\r\n\xff',
    ],
)
def test_case_061_a_part_out_of_bounds_is_refused(send_form, forms, part):
    assert send_form([part, forms.file(LINE)]).status in (400, 413)


def test_case_061_very_many_parts_are_refused(send_form, forms):
    parts = [forms.field(str(number), "x") for number in range(10_000)]
    assert send_form(parts).status == 413


@pytest.mark.parametrize("where", ["preamble", "epilogue"])
def test_case_061_what_stands_around_a_form_may_not_go_on_for_ever(forms, monkeypatch, where):
    monkeypatch.setattr("batchsim.wire.http.form.LARGEST_OVERHEAD", 100_000)
    taken = []

    def endless():
        if where == "epilogue":
            yield forms.multipart([forms.file(LINE)], "b")
        while True:
            taken.append(1)
            yield b"x" * 1_000

    kind = ("Content-Type", "multipart/form-data; boundary=b")
    request = Request("POST", "/v1/files", headers=(kind,), body=endless())
    with pytest.raises(Refused), read_upload(request, largest=1_000):
        pass
    assert len(taken) <= 102


def test_case_062_a_form_that_is_cut_off_is_refused(send_form, forms):
    parts = [forms.field("purpose", "batch"), forms.file(LINE)]
    length = len(forms.multipart(parts, "b"))
    for cut in (0, 1, 40, length - 10, length - 5, length - 4):
        assert send_form(parts, cut=cut).status == 400


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_case_067_a_compressed_body_is_refused(refused, send_form, forms, encoding):
    header = ("Content-Encoding", encoding)
    assert send_form([forms.file(LINE)], headers=[header]).status == 415
    assert refused("POST", "/v1/batches", body=[b"{}"], headers=[header]).status == 415


def test_case_068_encoded_and_nested_parts_are_refused(send_form, forms):
    purpose = forms.field("purpose", "batch")
    head = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
    encoded = head + b"Content-Transfer-Encoding: base64\r\n\r\n1234"
    nested = (
        b'Content-Disposition: form-data; name="file"\r\n'
        b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\n{}\r\n--inner--"
    )
    for part in (encoded, nested):
        assert send_form([purpose, part]).status == 400


def test_case_069_a_file_too_large_by_one_byte_is_refused_while_it_streams(door_to, forms):
    from batchsim.backends.fake import FakeBackend
    from batchsim.domain.limits import Limits
    from batchsim.wire import App

    door = door_to(App(FakeBackend(limits=Limits(input_file_bytes=len(LINE)))))
    assert door.upload_input(LINE).status == 200
    answer = door.upload_input(LINE + b"\n")
    assert (answer.status, answer.error["message"]) == (400, "File is too large.")
    assert len(door.send("GET", "/v1/files").json["data"]) == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400), ("limit=-1", 400), ("limit=10001", 400), ("limit=1e9", 400),
        ("limit=abc", 400), ("limit=" + "9" * 5_000, 400), ("limit=1&limit=0", 200),
        ("limit=%31", 200), ("limit=+1", 400), ("limit=", 200), ("limit=10000", 200),
        ("order=up", 400), ("order=ASC", 400), ("order=asc", 200), ("after=file-x", 404),
        ("after=batch_x", 404), ("after=%00", 404), ("purpose=fun", 200), ("%zz=%zz", 200),
        (";=;&&==&=", 200), ("limit=１", 400),
    ],
)  # fmt: skip
def test_case_070_a_list_s_query_is_taken_or_refused(door, query, status):
    assert door.send("GET", f"/v1/files?{query}").status == status


def test_case_070_a_deleted_file_is_no_place_in_the_list(door):
    file_id = door.upload_input(LINE).json["id"]
    door.send("DELETE", f"/v1/files/{file_id}")
    assert door.send("GET", f"/v1/files?after={file_id}").status == 404


@pytest.mark.parametrize(
    "identifier",
    ["../x", "%2e%2e%2f", "%00", "x" * 10_000, "%E6%97%A5", "file-%0A", "%", "%zz", "%C0%AF", "."],
)
@pytest.mark.parametrize("end", ["", "/content"])
def test_case_071_no_id_is_a_path(refused, identifier, end):
    assert refused("GET", f"/v1/files/{identifier}{end}").status == 404


def test_case_072_content_is_there_as_long_as_the_file(door, backend):
    gone, expired = (door.upload_input(LINE).json["id"] for _ in range(2))
    assert door.send("GET", f"/v1/files/{gone}/content").content == LINE
    door.send("DELETE", f"/v1/files/{gone}")
    assert door.send("GET", f"/v1/files/{gone}/content").status == 404
    backend.clock.advance(31 * 86_400)
    assert door.send("GET", f"/v1/files/{expired}/content").status == 404


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-0",
        "bytes=-1",
        "bytes=5-2",
        "bytes=" + "0-," * 1_000,
        "items=1",
        "bytes=" + "9" * 100,
    ],
)
def test_case_073_a_range_is_ignored_as_there_is_no_sign_that_the_api_heeds_it(door, wanted):
    file_id = door.upload_input(LINE).json["id"]
    answer = door.send("GET", f"/v1/files/{file_id}/content", headers=[("Range", wanted)])
    assert (answer.status, answer.content) == (200, LINE)


def test_case_074_a_file_is_deleted_once(door):
    path = f"/v1/files/{door.upload_input(LINE).json['id']}"
    assert [door.send("DELETE", path).status for _ in range(2)] == [200, 404]


def test_case_074_a_running_batch_outlives_its_input(door, backend, batch_of):
    path = f"/v1/batches/{batch_of()}"
    while door.send("GET", path).json["status"] == "validating":
        backend.clock.advance(1)
    door.send("DELETE", f"/v1/files/{door.send('GET', path).json['input_file_id']}")
    backend.clock.advance(3_600)
    assert door.send("GET", path).json["status"] == "completed"


def test_case_075_the_same_bytes_twice_are_two_files(door):
    first, second = (door.upload_input(LINE).json["id"] for _ in range(2))
    assert first != second
    door.send("DELETE", f"/v1/files/{first}")
    assert door.send("GET", f"/v1/files/{second}/content").content == LINE


@pytest.mark.parametrize(
    ("anchor", "seconds", "status"),
    [
        ("created_at", "3599", 400), ("created_at", "3600", 200), ("created_at", "2592000", 200),
        ("created_at", "2592001", 400), ("created_at", "3600.5", 400), ("created_at", "", 400),
        ("created_at", "9" * 5_000, 400), ("now", "3600", 400), ("", "3600", 400),
    ],
)  # fmt: skip
def test_case_076_a_lifetime_is_in_range(door, anchor, seconds, status):
    fields = {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}
    assert door.upload_input(LINE, **fields).status == status


def test_case_078_json_is_no_form_and_a_form_no_json(refused, send_form, forms):
    answer = refused(
        "POST", "/v1/files", body=[b"{}"], headers=[("Content-Type", "application/json")]
    )
    assert answer.status == 400
    form = forms.multipart([forms.field("purpose", "batch")], "b")
    kind = ("Content-Type", "multipart/form-data; boundary=b")
    for target in ("/v1/batches", "/v1/uploads", "/v1/chat/completions"):
        assert refused("POST", target, body=[form], headers=[kind]).status == 415


def test_nothing_refused_is_kept(door, forms):
    for purpose in UPLOAD_PURPOSES:
        door.upload([forms.field("purpose", purpose), forms.field("file", "x")])
    assert door.send("GET", "/v1/files").json["data"] == []
