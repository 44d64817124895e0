"""A server on a real port of this machine, and clients that speak to it byte by byte."""

import http.client
import json
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from batchsim.clock import VirtualClock
from batchsim.server.fakes_by_key import FakesByKey
from batchsim.server.serve import running
from batchsim.wire import App

HEADERS = {"Authorization": "Bearer sk-any"}


@dataclass
class Answer:
    status: int
    headers: dict
    content: bytes

    @property
    def json(self):
        return json.loads(self.content)


class Client:
    """Speaks to the server at `address` with a key of its own."""

    def __init__(self, address, key="sk-any"):
        self.address = address
        self.port = int(address.rpartition(":")[2])
        self.headers = {"Authorization": f"Bearer {key}"}

    @contextmanager
    def connection(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            yield connection
        finally:
            connection.close()

    def send(self, method, target, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.connection() as connection:
            connection.request(method, target, body, {**self.headers, **named})
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())

    def send_json(self, method, target, value):
        return self.send(method, target, json.dumps(value), content_type="application/json")

    def upload(self, content, filename="input.jsonl"):
        return self.send(
            "POST",
            "/v1/files",
            self.form(content, filename),
            content_type="multipart/form-data; boundary=B",
        )

    @staticmethod
    def form(content, filename="input.jsonl"):
        head = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
        return (
            b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            b"--B\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n--B--\r\n"
        )

    def run(self, lines):
        """Upload, create, look until it has ended; the batch."""
        file = self.upload(b"".join(lines)).json
        batch = self.send_json(
            "POST",
            "/v1/batches",
            {
                "input_file_id": file["id"],
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
        ).json
        return self.send("GET", f"/v1/batches/{batch['id']}").json

    @contextmanager
    def socket(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as raw:
            yield raw

    def talk(self, sent):
        """Send bytes, and read until the server closes the connection."""
        with self.socket() as raw:
            with suppress(BrokenPipeError, ConnectionResetError):
                raw.sendall(sent)
            return read_all(raw)


def read_all(raw):
    """What comes until the server closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := raw.recv(1 << 16):
            received += piece
    return received


@pytest.fixture(scope="session")
def shared_address():
    """The address of a server that many tests use, each with a key of its own."""
    fakes = FakesByKey(seed=1, clock=VirtualClock(), pacing="instant")
    with running(App(fakes.tenants)) as address:
        yield address
    fakes.close()


@pytest.fixture
def client(shared_address, request):
    return Client(
        shared_address, key=f"sk-{request.node.name}"[:60].encode("ascii", "replace").decode()
    )


@pytest.fixture
def client_of():
    """A client of the server at an address."""
    return Client


@pytest.fixture
def read_until_closed():
    return read_all


@pytest.fixture
def chat_line():
    def make(custom_id="1"):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
        line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
        return json.dumps({**line, "body": body}).encode() + b"\n"

    return make
