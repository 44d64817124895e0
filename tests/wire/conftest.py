"""The REST surface over a FakeBackend, and requests as a client sends them."""

from dataclasses import dataclass

import orjson
import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.wire import App, Request

BOUNDARY = "a-boundary"


@dataclass
class Answer:
    status: int
    headers: dict
    content: bytes

    @property
    def json(self):
        return orjson.loads(self.content)

    @property
    def error(self):
        return self.json["error"]


class Door:
    """Sends requests to an App, by default with a key."""

    def __init__(self, app):
        self.app = app

    def send(self, method, target, *, body=(), headers=(), authorization="Bearer sk-any"):
        path, _, query = target.partition("?")
        head = list(headers)
        if authorization is not None:
            head.append(("Authorization", authorization))
        answer = self.app.handle(Request(method, path, query, tuple(head), body))
        names = [name for name, _ in answer.headers]
        assert len(names) == len(set(names)), "a header twice"
        content = b"".join(answer.body)
        answer.close()
        return Answer(answer.status, dict(answer.headers), content)

    def post_json(self, target, value):
        return self.send("POST", target, body=[orjson.dumps(value)])

    def upload(self, parts, *, target="/v1/files", boundary=BOUNDARY, at_once=1 << 16):
        form = multipart(parts, boundary)
        pieces = [form[start : start + at_once] for start in range(0, len(form), at_once)]
        kind = f"multipart/form-data; boundary={boundary}"
        return self.send("POST", target, body=iter(pieces), headers=[("Content-Type", kind)])

    def upload_input(self, content=b'{"custom_id": "1"}\n', filename="input.jsonl", **fields):
        fields = {"purpose": "batch", **fields}
        parts = [field(name, value) for name, value in fields.items()]
        return self.upload([*parts, file(content, filename)])


def field(name, value):
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def file(content, filename="input.jsonl", *, name="file", kind="application/octet-stream"):
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    return (head + (f"Content-Type: {kind}\r\n" if kind else "") + "\r\n").encode() + content


def multipart(parts, boundary=BOUNDARY):
    delimiter = f"--{boundary}".encode()
    return b"".join(b"%s\r\n%s\r\n" % (delimiter, part) for part in parts) + delimiter + b"--\r\n"


@pytest.fixture
def forms():
    """The parts of a form: `forms.field(...)`, `forms.file(...)`, `forms.multipart(...)`."""

    class Forms:
        pass

    Forms.field, Forms.file, Forms.multipart = map(staticmethod, (field, file, multipart))
    return Forms


@pytest.fixture
def backend():
    return FakeBackend(seed=1)


@pytest.fixture
def door(backend):
    return Door(App(backend))


@pytest.fixture
def door_to():
    """A door to an App of one's own making."""
    return Door


@pytest.fixture
def input_content():
    line = {
        "custom_id": "request-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
    }
    return orjson.dumps(line) + b"\n"


@pytest.fixture
def batch_of(door, input_content):
    """`batch_of()` -> the id of a new batch of one line."""

    def build():
        file_id = door.upload_input(input_content).json["id"]
        return door.post_json(
            "/v1/batches",
            {
                "input_file_id": file_id,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
        ).json["id"]

    return build
