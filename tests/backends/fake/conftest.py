"""Builders for everything that drives a FakeBackend; each default is unremarkable."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchsim.backends import Backend
from batchsim.backends.fake import FakeBackend
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.stores import Store
from batchsim.stores.disk import DiskStore
from batchsim.stores.memory import MemoryStore

CHAT = "/v1/chat/completions"


class User:
    """Somebody who works with one backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def upload(self, content: bytes, filename: str = "input.jsonl", **options: Any) -> File:
        return self.backend.upload_file(io.BytesIO(content), filename=filename, **options)

    def start(self, content: bytes, *, endpoint: str = CHAT, **options: Any) -> Batch:
        file = self.upload(content)
        return self.backend.create_batch(input_file_id=file.id, endpoint=endpoint, **options)

    def look(self, batch: Batch, *, after: float = 0) -> Batch:
        self.backend.clock.sleep(after)
        return self.backend.retrieve_batch(batch.id)

    def finish(self, content: bytes, **options: Any) -> Batch:
        """A batch over `content`, two days later."""
        return self.look(self.start(content, **options), after=2 * 86_400)

    def read(self, file_id: str | None) -> bytes:
        return b"" if file_id is None else b"".join(self.backend.read_file(file_id))

    def results(self, file_id: str | None) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read(file_id).splitlines()]


def chat_line(custom_id: str, **body: Any) -> dict[str, Any]:
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": CHAT,
        "body": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"Say {custom_id}"}],
            **body,
        },
    }


def to_jsonl(lines: list[Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture
def line() -> Callable[..., dict[str, Any]]:
    """One chat request: `line("a", temperature=0)`."""
    return chat_line


@pytest.fixture
def jsonl() -> Callable[[list[Any]], bytes]:
    """Values, one a line."""
    return to_jsonl


@pytest.fixture
def chats() -> Callable[..., bytes]:
    """An input file of that many chat requests, `request-1` and on: `chats(3, temperature=0)`."""

    def make(count: int, **body: Any) -> bytes:
        return to_jsonl([chat_line(f"request-{n}", **body) for n in range(1, count + 1)])

    return make


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of either kind."""
    with MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def user() -> Iterator[Callable[..., User]]:
    """The user of a new FakeBackend: `user(pacing="quick")`."""
    backends = []

    def make(**options: Any) -> User:
        backend = FakeBackend(**options)
        backends.append(backend)
        return User(backend)

    yield make
    for backend in backends:
        backend.close()
