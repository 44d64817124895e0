"""However large a body is, the surface holds little of it at a time."""

import tracemalloc
from contextlib import contextmanager

import pytest

from batchsim.wire import Request

SIZE = 200_000_000
LINE = b'{"custom_id": "1", "body": "' + b"x" * 970 + b'"}\n'
BLOCK = (LINE * 65)[: 1 << 16]
MOST_HELD = 12 << 20


@contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_HELD
    finally:
        tracemalloc.stop()


def form(name, size, **fields):
    """The pieces of a form whose file has `size` bytes."""
    for key, value in fields.items():
        yield f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
    yield f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="u"\r\n\r\n'.encode()
    yield LINE
    size -= len(LINE)
    while size:
        piece = BLOCK[:size]
        yield piece
        size -= len(piece)
    yield b"\r\n--b--\r\n"


HEADERS = [("Content-Type", "multipart/form-data; boundary=b")]


@pytest.mark.slow
def test_200_mb_pass_through_both_ways(door):
    with little_memory():
        body = form("file", SIZE, purpose="batch")
        file = door.send("POST", "/v1/files", body=body, headers=HEADERS).json
        assert file["bytes"] == SIZE
        key = (("Authorization", "Bearer x"),)
        answer = door.app.handle(Request("GET", f"/v1/files/{file['id']}/content", "", key))
        assert sum(len(piece) for piece in answer.body) == SIZE


@pytest.mark.slow
def test_200_mb_pass_through_in_parts(door):
    with little_memory():
        creation = {
            "bytes": SIZE,
            "filename": "a.jsonl",
            "mime_type": "application/jsonl",
            "purpose": "batch",
        }
        path = f"/v1/uploads/{door.post_json('/v1/uploads', creation).json['id']}"
        ids = [
            door.send("POST", f"{path}/parts", body=form("data", SIZE // 4), headers=HEADERS).json[
                "id"
            ]
            for _ in range(4)
        ]
        upload = door.post_json(f"{path}/complete", {"part_ids": ids}).json
        assert upload["file"]["bytes"] == SIZE


def test_a_refused_body_is_not_read_to_its_end(door):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield BLOCK

    kind = [("Content-Type", "text/plain")]
    for target in ("/v1/files", "/v1/batches", "/v1/nowhere"):
        assert door.send("POST", target, body=endless(), headers=kind).status >= 400
    assert taken == []
