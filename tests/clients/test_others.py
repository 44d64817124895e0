"""Clients that are not the official one: httpx, aiohttp, the standard library's,
and a bare socket.
"""

import asyncio
import http.client
import json
import socket

import httpx
import pytest

BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
KEY = {"Authorization": "Bearer sk-fake"}


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.base_url, headers=KEY, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("name", ["upload", "input", "input.jsonl", "入力", "a b"])
def test_raw_bytes_are_taken_under_any_name_without_another_suffix(client, demo_file, poll, name):
    content = demo_file.read_bytes()
    file = client.post("/files", data={"purpose": "batch"}, files={"file": (name, content)}).json()
    assert (file["filename"], file["bytes"], file["status"]) == (name, len(content), "processed")
    order = {**BATCH, "input_file_id": file["id"], "metadata": None}
    batch = client.post("/batches", json=order).json()
    assert batch["metadata"] is None
    done, _ = poll(lambda: client.get(f"/batches/{batch['id']}").json())
    assert done["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert client.get(f"/files/{file['id']}/content").content == content


@pytest.mark.parametrize(
    "content", [b'"', b"[]", b"{", b"\xff", b"", b"null", b'{"input_file_id": 1e999}']
)
def test_a_body_that_is_no_order_is_refused(client, content):
    answer = client.post("/batches", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_download_streams(client, demo_file):
    content = demo_file.read_bytes() * 2_000
    file = client.post(
        "/files", data={"purpose": "batch"}, files={"file": ("input.jsonl", content)}
    ).json()
    with client.stream("GET", f"/files/{file['id']}/content") as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    assert b"".join(pieces) == content


def test_aiohttp_takes_a_batch_from_upload_to_results(server, demo_file):
    aiohttp = pytest.importorskip("aiohttp")

    async def ask(session, method, path, **content):
        async with session.request(method, f"{server.base_url}{path}", **content) as answer:
            assert answer.status == 200
            return await answer.json()

    async def run():
        async with aiohttp.ClientSession(headers=KEY) as session:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", demo_file.read_bytes(), filename="upload")
            file = await ask(session, "POST", "/files", data=form)
            order = {**BATCH, "input_file_id": file["id"], "metadata": None}
            batch = await ask(session, "POST", "/batches", json=order)
            for _ in range(50):
                batch = await ask(session, "GET", f"/batches/{batch['id']}")
                if batch["status"] == "completed":
                    break
            path = f"/files/{batch['output_file_id']}/content"
            async with session.get(f"{server.base_url}{path}") as answer:
                return file["filename"], await answer.text()

    filename, content = asyncio.run(run())
    assert filename == "upload"
    assert len(content.splitlines()) == 3


def test_the_standard_library_takes_a_batch_from_upload_to_results(server, demo_file, poll):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask(method, path, body=None, kind="application/json"):
        connection.request(method, f"/v1{path}", body, {**KEY, "Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content

    form = (
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="input"\r\n\r\n'
        + demo_file.read_bytes()
        + b'\r\n--frontier\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch'
        + b"\r\n--frontier--\r\n"
    )
    file = json.loads(ask("POST", "/files", form, "multipart/form-data; boundary=frontier"))
    order = json.dumps({**BATCH, "input_file_id": file["id"]})
    batch = json.loads(ask("POST", "/batches", order))
    done, _ = poll(lambda: json.loads(ask("GET", f"/batches/{batch['id']}")))
    content = ask("GET", f"/files/{done['output_file_id']}/content")
    assert len(content.splitlines()) == 3
    connection.close()


def test_a_script_polls_by_http_1_0_over_a_bare_socket(server, client, demo_file, poll):
    """It names no host, sends one request a connection, and reads to the end of it."""
    file = client.post(
        "/files", data={"purpose": "batch"}, files={"file": ("input", demo_file.read_bytes())}
    ).json()
    batch = client.post("/batches", json={**BATCH, "input_file_id": file["id"]}).json()

    def look(path):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            request = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer sk-fake\r\n\r\n"
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[0].endswith(b" 200 OK")
        assert b"chunked" not in head.lower()
        return content

    done, seen = poll(lambda: json.loads(look(f"/v1/batches/{batch['id']}")))
    assert seen == ["in_progress", "finalizing", "completed"]
    content = look(f"/v1/files/{done['output_file_id']}/content")
    assert len(content.splitlines()) == 3
