"""Case 073: parts of a file's content, where the service heeds a Range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.wire import App, Request
from batchsim.wire.http.ranges import OutOfRange, RangeBody, wanted

CONTENT = b"".join(b'{"custom_id": "%d"}\n' % n for n in range(10))
SIZE = len(CONTENT)
LAST = SIZE - 1


@pytest.fixture
def ask(door_to):
    """Ask for the content with a Range; `ask.backend` is who has it."""
    backend = FakeBackend(seed=1)
    door = door_to(App(backend, heeds_ranges=True))
    path = f"/v1/files/{door.upload_input(CONTENT).json['id']}/content"

    def send(*ranges, **headers):
        named = [("Range", each) for each in ranges]
        named += [(name.replace("_", "-"), value) for name, value in headers.items()]
        return door.send("GET", path, headers=named)

    send.backend = backend
    return send


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=7-", 7, SIZE),
        ("bytes=7-8", 7, 9),
        (f"bytes={LAST}-{LAST}", LAST, SIZE),
        ("bytes=7-" + "9" * 100, 7, SIZE),
        ("bytes=-1", LAST, SIZE),
        ("bytes=-" + "9" * 100, 0, SIZE),
        ("Bytes= 7-8 ", 7, 9),
        ("bytes=" + "0" * 5_000 + "7-8", 7, 9),
    ],
)
def test_a_part_comes_with_its_place(ask, asked, start, stop):
    answer = ask(asked)
    assert (answer.status, answer.content) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", "bytes=" + "9" * 60_000 + "-"])
def test_what_lies_behind_the_end_is_refused_with_the_size(ask, asked):
    answer = ask(asked)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert answer.error["param"] == "range"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-2",
        "bytes=-",
        "bytes=",
        "bytes=0-0,2-3",
        "bytes=" + "0-," * 1_000,
        "items=1",
        "items=1-2",
        "bytes=x-2",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=٣-٤",
        "",
    ],
)
def test_what_is_no_single_range_is_ignored(ask, asked):
    answer = ask(asked)
    assert (answer.status, answer.content) == (200, CONTENT)
    assert "content-range" not in answer.headers


def test_two_headers_and_a_condition_are_ignored(ask):
    assert ask("bytes=0-0", "bytes=1-1").status == 200
    assert ask("bytes=0-0", if_range='"v1"').status == 200


def test_an_empty_file_and_an_unknown_one_have_no_parts(ask, door_to):
    with pytest.raises(OutOfRange):
        wanted(Request("GET", "/", headers=(("range", "bytes=0-"),)), 0)
    door = door_to(App(ask.backend, heeds_ranges=True))
    answer = door.send("GET", "/v1/files/file-none/content", headers=[("Range", "bytes=1-")])
    assert answer.status == 404


def test_what_follows_a_part_is_not_read():
    read = []

    def pieces():
        for n in range(1_000):
            read.append(n)
            yield b"x" * 10

    assert b"".join(RangeBody(pieces(), range(25, 45))) == b"x" * 20
    assert read == [0, 1, 2, 3, 4]


@given(
    st.lists(st.binary(max_size=5), max_size=8),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_a_part_is_a_slice_however_the_pieces_lie(pieces, start, length):
    part = RangeBody(pieces, range(start, start + length))
    assert b"".join(part) == b"".join(pieces)[start : start + length]


def test_a_content_that_breaks_off_breaks_a_part_too(ask, door_to):
    cut = RequestFault("truncated", call="read_file", nth=1, at_byte=50)
    backend = FakeBackend(seed=1, faults=Faults(requests=(cut,)))
    door = door_to(App(backend, heeds_ranges=True))
    path = f"/v1/files/{door.upload_input(CONTENT).json['id']}/content"
    from batchsim.errors import TransferBroken

    with pytest.raises(TransferBroken):
        door.send("GET", path, headers=[("Range", "bytes=10-")])
