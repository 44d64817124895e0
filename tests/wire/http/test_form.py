"""The multipart form of an upload: any cut, and every way to get it wrong."""

import subprocess
import sys
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.errors import Refused
from batchsim.wire import Request
from batchsim.wire.http.form import KEPT_IN_MEMORY, read_upload

HEADERS = (("content-type", "multipart/form-data; boundary=a-boundary"),)


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 64])
def test_a_form_may_arrive_in_pieces_of_any_size(door, forms, at_once):
    content = b'{"a": "\r\n--a-boundar"}\r\n'
    parts = [forms.field("purpose", "fine-tune"), forms.file(content)]
    answer = door.upload(parts, at_once=at_once)
    assert door.send("GET", f"/v1/files/{answer.json['id']}/content").content == content


def test_any_content_comes_through(forms):
    @given(content=st.binary(max_size=300), cuts=st.lists(st.integers(1, 50), max_size=8))
    def check(content, cuts):
        if b"\r\n--a-boundary" in content:
            return
        form, pieces = forms.multipart([forms.file(content)]), []
        for cut in cuts:
            pieces.append(form[:cut])
            form = form[cut:]
        with read_upload(Request("POST", "/", headers=HEADERS, body=[*pieces, form])) as upload:
            assert upload.content.read() == content

    check()


@pytest.mark.parametrize(
    "filename",
    ["../../x", "..\\x", "C:\\x", "/abs", ".", "x" * 255, "CON", "  ", "日本.jsonl", "%22"],
)
def test_a_filename_is_only_text(door, forms, filename):
    answer = door.upload([forms.field("purpose", "fine-tune"), forms.file(b"{}", filename)])
    assert answer.status == 200
    stored = answer.json["filename"]
    assert door.send("GET", f"/v1/files/{answer.json['id']}").json["filename"] == stored
    assert len(stored) <= 255


def refused(door, body, kind="multipart/form-data; boundary=a-boundary"):
    answer = door.send("POST", "/v1/files", body=[body], headers=[("content-type", kind)])
    assert door.send("GET", "/v1/files").json["data"] == []
    return answer


@pytest.mark.parametrize(
    "kind",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=a-boundary",
     "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 201, "text/plain"],
)  # fmt: skip
def test_what_is_no_form_is_refused(door, forms, kind):
    form = forms.multipart([forms.field("purpose", "batch"), forms.file(b"{}\n")])
    answer = refused(door, form, kind)
    assert answer.status == 400
    assert "multipart" in answer.error["message"]


def test_a_form_cut_at_any_byte_is_refused(door, forms):
    form = forms.multipart([forms.field("purpose", "batch"), forms.file(b"{}\n")])
    for length in range(len(form) - len(b"--\r\n")):
        assert refused(door, form[:length]).status == 400


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        (["purpose"], 400, "'file' is a required property"),
        (["file"], 400, "'purpose' is a required property"),
        ([], 400, "'file' is a required property"),
        (["purpose", "purpose", "file"], 400, "Duplicate parameter: 'purpose'"),
        (["purpose", "file", "file"], 400, "Duplicate parameter: 'file'"),
        (["purpose", "no filename"], 400, "must have a filename"),
        (["purpose", "file", "no UTF-8"], 400, "could not be parsed"),
        (["purpose", "file", "long field"], 413, "too large"),
        (["purpose", "file", "long header"], 413, "too large"),
        (["purpose", "file", "many headers"], 413, "too large"),
        (["purpose", "file", *(f"x{n}" for n in range(20))], 413, "too large"),
        (["purpose", "file", "no name"], 400, "could not be parsed"),
    ],
)
def test_a_form_that_is_wrong_is_refused(door, forms, parts, status, words):
    known = {
        "purpose": forms.field("purpose", "batch"),
        "file": forms.file(b"{}\n"),
        "no filename": forms.field("file", "{}\n"),
        "no UTF-8": b'Content-Disposition: form-data; name="x"\r\n\r\n\xff',
        "long field": forms.field("x", "x" * 10_000),
        "long header": b"X: " + b"x" * 10_000 + b"\r\n" + forms.field("x", "1"),
        "many headers": b"X: 1\r\n" * 100 + forms.field("x", "1"),
        "no name": b"X: 1\r\n\r\n1",
    }
    form = forms.multipart([known.get(part) or forms.field(part, "1") for part in parts])
    answer = refused(door, form)
    assert answer.status == status
    assert words in answer.error["message"]


def test_a_body_without_end_is_cut_off(forms, monkeypatch):
    monkeypatch.setattr("batchsim.wire.http.form.LARGEST_OVERHEAD", 9_000)
    taken = []

    def endless():
        yield forms.multipart([forms.file(b"{}\n")])[: -len("--\r\n")] + b"--\r\n"
        while True:
            taken.append(1)
            yield b"x" * 1_000

    request = Request("POST", "/", headers=HEADERS, body=endless())
    with pytest.raises(Refused, match="File is too large"), read_upload(request, largest=1_000):
        pass
    assert len(taken) <= 11


def test_a_file_may_have_just_as_many_bytes_as_it_may(forms):
    def read(size):
        form = forms.multipart([forms.file(b"x" * size)])
        with read_upload(Request("POST", "/", headers=HEADERS, body=[form]), largest=999) as upload:
            return len(upload.content.read())

    assert read(999) == 999
    with pytest.raises(Refused, match="File is too large"):
        read(1_000)


def test_unknown_fields_are_ignored(door):
    assert door.upload_input(colour="blue").status == 200


@pytest.mark.parametrize("fails", [False, True])
def test_the_temporary_file_is_closed(forms, monkeypatch, fails):
    made = []

    class Remembered(tempfile.SpooledTemporaryFile):
        def __init__(self, **options):
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Remembered)
    form = forms.multipart([forms.file(b"x" * (KEPT_IN_MEMORY + 1))])
    request = Request("POST", "/", headers=HEADERS, body=[form[:-9] if fails else form])
    try:
        with read_upload(request) as upload:
            assert not upload.content.closed
    except Refused:
        assert fails
    assert [file.closed for file in made] == [True]


def test_without_its_parser_the_surface_says_what_to_install():
    code = (
        "import sys; sys.modules['multipart'] = None\n"
        "from batchsim.errors import MissingExtra\n"
        "try:\n    import batchsim.wire\n"
        "except MissingExtra as error:\n    print(error.hint)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "pip install 'batchsim[testing]'\n"
