"""An upload on its way in: written once, wherever that can be, and nothing of it left when it
fails.
"""

import itertools
import tracemalloc

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.backends.fake.service.file_upload import LONGEST_FIRST_LINE
from batchsim.domain.limits import Limits
from batchsim.stores.disk import DiskStore
from batchsim.wire import App

LINE = b'{"custom_id": "1", "body": "' + b"x" * 970 + b'"}\n'
CONTENT = LINE * 400
UNRELATED = Faults(requests=(RequestFault("error", call="list_batches"),))


@pytest.fixture
def door_to(door):
    """`door_to(limits=..., faults=...)` -> a door to a backend with a store on the disk."""

    def make(folder, **options):
        backend = FakeBackend(store=DiskStore(folder), **options)
        made = type(door)(App(backend))
        made.log = backend.requests
        return made

    return make


@pytest.fixture
def nothing_aside(monkeypatch):
    """Nothing can be put aside."""

    def fail(*_, **__):
        raise AssertionError("put aside")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile", fail)


def stored(folder):
    return [path.name for path in (folder / "contents").iterdir()]


@pytest.mark.usefixtures("nothing_aside")
def test_an_upload_is_written_into_the_store_and_nowhere_else(door_to, tmp_path):
    door = door_to(tmp_path)
    answer = door.upload_input(CONTENT)
    assert (answer.status, answer.json["bytes"]) == (200, len(CONTENT))
    assert stored(tmp_path) == [answer.json["id"]]
    assert door.send("GET", f"/v1/files/{answer.json['id']}/content").content == CONTENT


@pytest.mark.parametrize("faults", [Faults(), UNRELATED], ids=["written once", "put aside"])
def test_the_parts_may_come_in_any_order(door_to, tmp_path, forms, faults):
    parts = [
        forms.field("purpose", "batch"),
        forms.field("expires_after[anchor]", "created_at"),
        forms.field("expires_after[seconds]", "7200"),
        forms.file(CONTENT),
    ]
    seen = set()
    door = door_to(tmp_path, faults=faults)
    for order in itertools.permutations(parts):
        answer = door.upload(order)
        file = answer.json
        content = door.send("GET", f"/v1/files/{file['id']}/content").content
        lifetime = file["expires_at"] - file["created_at"]
        seen.add((answer.status, file["purpose"], lifetime, content))
    assert seen == {(200, "batch", 7_200, CONTENT)}


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_an_upload_that_is_cut_leaves_nothing(door_to, tmp_path, forms, share):
    door = door_to(tmp_path)
    form = forms.multipart([forms.field("purpose", "batch"), forms.file(CONTENT)])
    kind = ("Content-Type", "multipart/form-data; boundary=a-boundary")
    cut = form[: int(len(form) * share)]
    assert door.send("POST", "/v1/files", body=[cut], headers=[kind]).status == 400
    assert (stored(tmp_path), door.log.entries()[:-1]) == ([], ())


def broken(form):
    yield form
    raise ConnectionError("the client has gone")


def test_an_upload_whose_client_goes_leaves_nothing(door_to, tmp_path, forms):
    door = door_to(tmp_path)
    form = forms.multipart([forms.field("purpose", "batch"), forms.file(CONTENT)])
    kind = ("Content-Type", "multipart/form-data; boundary=a-boundary")
    with pytest.raises(ConnectionError):
        door.send("POST", "/v1/files", body=broken(form[:-9]), headers=[kind])
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        (CONTENT, {"purpose": "nonsense"}, "purpose"),
        (CONTENT, {"purpose": "batch", "expires_after[anchor]": "created_at"}, "expires_after"),
        (LINE * 2_000, {"purpose": "batch"}, "File is too large"),
        (b"\xff" + LINE * 2_000, {"purpose": "batch"}, "utf-8"),
        (LINE * 500 + b"\xff", {"purpose": "batch"}, "utf-8"),
        (LINE * 2_000 + b"\xff", {"purpose": "batch"}, "File is too large"),
        (b"nonsense\n" + LINE, {"purpose": "batch"}, "format"),
        (b"{}\n\xe3", {"purpose": "batch"}, "utf-8"),
    ],
)
@pytest.mark.parametrize("faults", [Faults(), UNRELATED], ids=["written once", "put aside"])
@pytest.mark.parametrize("purpose_first", [True, False])
def test_what_is_refused_is_refused_alike_and_leaves_nothing(
    door_to, tmp_path, forms, content, fields, words, faults, purpose_first
):
    door = door_to(tmp_path, faults=faults, limits=Limits(input_file_bytes=1_000_000))
    parts = [forms.field(*each) for each in fields.items()]
    file = forms.file(content)
    answer = door.upload([*parts, file] if purpose_first else [file, *parts])
    assert answer.status == 400
    assert words in f"{answer.error['message']} {answer.error['param']}"
    assert stored(tmp_path) == []


@pytest.mark.usefixtures("nothing_aside")
def test_what_is_no_batchs_input_may_be_anything(door_to, tmp_path, forms):
    door = door_to(tmp_path, limits=Limits(input_file_bytes=100))
    content = b"\xff" * 200_000
    answer = door.upload([forms.field("purpose", "user_data"), forms.file(content, "a.bin")])
    assert (answer.status, answer.json["bytes"]) == (200, 200_000)


@pytest.mark.parametrize("faults", [Faults(), UNRELATED], ids=["written once", "put aside"])
def test_uploads_are_noted_as_what_they_are(door_to, tmp_path, forms, faults):
    door = door_to(tmp_path, faults=faults)
    file = door.upload_input(CONTENT, filename="good.jsonl").json
    door.upload_input(b"bad\n", filename="bad.jsonl")
    good, bad = door.log.entries()
    assert (good.call, good.subject, good.made) == ("upload_file", "good.jsonl", file["id"])
    assert (bad.call, bad.subject, bad.status) == ("upload_file", "bad.jsonl", 400)
    assert (good.number, bad.number) == (1, 2)


def test_uploads_beyond_the_rate_are_refused(door_to, tmp_path):
    door = door_to(tmp_path, limits=Limits(uploads_per_minute=1))
    assert [door.upload_input(CONTENT).status for _ in range(3)] == [200, 429, 429]
    assert len(stored(tmp_path)) == 1


@pytest.mark.parametrize("purpose", ["batch", "user_data"])
def test_a_line_without_end_is_not_held(door_to, tmp_path, purpose):
    """It passes here, as every line but the first does; validation finds what is wrong with it."""
    door = door_to(tmp_path)

    def form():
        yield f'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'.encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        for _ in range(10 * LONGEST_FIRST_LINE >> 18):
            yield b"x" * (1 << 18)
        yield b"\r\n--b--\r\n"

    tracemalloc.start()
    try:
        kind = ("Content-Type", "multipart/form-data; boundary=b")
        assert door.send("POST", "/v1/files", body=form(), headers=[kind]).status == 200
        assert tracemalloc.get_traced_memory()[1] < 3 * LONGEST_FIRST_LINE
    finally:
        tracemalloc.stop()
