"""Lines in and out: splitting, opening, and files that appear only when they are whole."""

import io
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchsim.jsonl
from batchsim.errors import InputError
from batchsim.jsonl import (
    Line,
    open_input,
    raw_lines,
    read_all_at,
    read_at,
    read_lines,
    replace_file,
)


class Pieces(io.RawIOBase):
    """A stream that gives its content in the given pieces, and counts the bytes given."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        piece, rest = (piece[:size], piece[size:]) if size >= 0 else (piece, b"")
        if rest:
            self._pieces.insert(0, rest)
        self.given += len(piece)
        return piece


@given(st.lists(st.text(alphabet="ab\n\r\x0b\x0c\x1c\x85\u2028", min_size=1, max_size=6)))
def test_lines_end_at_newlines_only_whatever_the_blocks(pieces):
    blocks = [piece.encode() for piece in pieces]
    content = b"".join(blocks)
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    lines = list(read_lines(Pieces(*blocks)))
    assert [line.content for line in lines] == expected
    assert [line.number for line in lines] == list(range(1, len(expected) + 1))
    for line in lines:
        assert content[line.offset : line.offset + len(line.content)] == line.content


def test_reading_starts_where_the_stream_stands():
    stream = io.BytesIO(b"a\nb\nc")
    stream.seek(2)
    assert list(read_lines(stream)) == [Line(1, 0, b"b"), Line(2, 2, b"c")]


@pytest.mark.parametrize("content", [b"123456", b"1\n23456\n", b"1\n2\n34567", b"123456\n1"])
def test_a_line_beyond_the_longest_is_refused_by_number(content):
    expected = next(n for n, each in enumerate(content.split(b"\n"), 1) if len(each) >= 5)
    assert list(read_lines(io.BytesIO(content), longest=6))
    with pytest.raises(InputError, match=f"line {expected} is longer than 4 bytes") as raised:
        list(read_lines(io.BytesIO(content), longest=4))
    assert raised.value.line == expected


def test_a_line_without_end_is_given_up_one_block_after_the_longest(monkeypatch):
    monkeypatch.setattr(batchsim.jsonl, "SMALLEST_BLOCK", 1_000)
    endless = Pieces(*[b"x" * 1_000] * 1_000)
    with pytest.raises(InputError):
        list(read_lines(endless, longest=10_500))
    assert endless.given <= 11_500


def test_an_ordinary_file_is_opened_for_its_bytes(tmp_path: Path):
    name = b"line\nbreak \x1b[2J \xe2\x80\xae \xff.jsonl"
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(b"\r\n")
    with open_input(path) as stream:
        assert stream.read() == b"\r\n"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def a_dangling_link(folder: Path) -> Path:
    (folder / "link").symlink_to("nowhere")
    return folder / "link"


def a_socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(folder / "door"))
    return folder / "door"


NO_INPUTS = {
    "missing": (lambda folder: folder / "none", "there is no such file"),
    "dangling link": (a_dangling_link, "there is no such file"),
    "link to itself": (a_loop, "the file cannot be opened: too many levels of symbolic links"),
    "folder": (lambda folder: folder, "the input is a folder, not a file"),
    "named pipe": (a_pipe, "the input is a named pipe, not a file"),
    "socket": (a_socket, "the file cannot be opened: no such device or address"),
    "device": (lambda folder: Path("/dev/zero"), "the input is a device, not a file"),
    "below a file": (lambda folder: Path("/dev/null/x"), "cannot be opened: not a directory"),
    "NUL in the name": (lambda folder: "a\0b", "cannot be opened: .*embedded null"),
}


@pytest.mark.parametrize(("make", "message"), NO_INPUTS.values(), ids=NO_INPUTS)
def test_what_is_no_ordinary_file_is_refused_at_once(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path)
    before = os.open(os.devnull, os.O_RDONLY)
    os.close(before)
    with pytest.raises(InputError, match=message) as raised:
        open_input(path)
    assert raised.value.path == path
    after = os.open(os.devnull, os.O_RDONLY)
    os.close(after)
    assert after == before  # nothing was left open


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match="the file may not be read"):
        open_input(tmp_path)


def test_a_replaced_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"old")
    with replace_file(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch):
    path = tmp_path / "results.jsonl"
    synced = []

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    with replace_file(path) as stream:
        stream.write(b"new")
    assert synced[0] == (3, False)
    assert [is_there for _, is_there in synced] == [False, True]  # the second is of the folder


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path: Path, fault):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"old")

    def write_half() -> None:
        with replace_file(path) as stream:
            stream.write(b"half")
            raise fault

    with pytest.raises(fault):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@given(st.binary(), st.integers(1, 8))
def test_raw_lines_are_the_lines_with_their_ends(content, longest):
    raw = b"".join(raw_lines(io.BytesIO(content), longest))
    assert raw == content
    whole = [line.rstrip(b"\n") for line in raw_lines(io.BytesIO(content))]
    assert whole == [line.content for line in read_lines(io.BytesIO(content))]


def test_many_places_are_read_as_one_by_one(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    with io.FileIO(tmp_path / "file") as file:
        starts, lengths = (90, 3, 50), (20, 4, 0)
        together = read_all_at(file, starts, lengths)
        assert together == [read_at(file, *place) for place in zip(starts, lengths, strict=True)]
        assert together == [bytes(range(90, 100)), b"\3\4\5\6", b""]
