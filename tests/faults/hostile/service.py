"""A small service of files and batches that shares no code with batchsim.

It speaks HTTP over raw sockets and writes its own JSON. Alone it is honest: a batch becomes
`in_progress` at its first poll, `finalizing` at the second and `completed` at the third, and every
line is answered with "re: " and its custom_id. A test may put a hook before any answer, by the name
of the operation; the hook gets the honest answer and returns another.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

START = 1_767_225_600
"""2026-01-01T00:00:00Z, which is also where the virtual clocks of the tests begin."""


@dataclass(frozen=True)
class Request:
    """One request: `query` has the last value of each name; `nth` counts its operation from 1."""

    operation: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    nth: int


@dataclass(frozen=True)
class Answer:
    """One answer: `raw` is sent in place of all else; `is_silent` closes without a word."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    raw: bytes | None = None
    is_silent: bool = False
    length: int | None = None
    """The Content-Length that is told, where it is not the true one; -1 leaves it out."""

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def with_value(self, value: Any) -> Answer:
        return replace(self, body=json.dumps(value).encode())

    def changed(self, **fields: Any) -> Answer:
        """The same answer with other values for some keys of its object."""
        return self.with_value({**self.value, **fields})


Hook = Callable[["Service", Request, Answer], Answer]


def error(status: int, message: str, code: str | None = None) -> Answer:
    value = {"error": {"message": message, "type": "api_error", "param": None, "code": code}}
    return Answer(status, json.dumps(value).encode())


@dataclass
class Service:
    """The service itself; `address` is its base URL. To be used as a context."""

    hooks: dict[str, Hook] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    usage: bool = True
    most_requests: int = 3_000
    """After so many requests the service is gone: whoever still asks would ask for ever."""

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for each in self._connections:
            each.close()

    @property
    def requests(self) -> int:
        return sum(self.calls.values())

    @property
    def is_worn_out(self) -> bool:
        """Somebody asked more often than any client may."""
        return self.requests >= self.most_requests

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._connections.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        try:
            while (request := _read(reader, self.calls)) is not None:
                with self._lock:
                    answer = self._answer(request)
                if answer.is_silent:
                    break
                connection.sendall(_written(answer, request))
                if answer.raw is not None or answer.length is not None:
                    break
        except (OSError, ValueError):
            pass
        finally:
            reader.close()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Request) -> Answer:
        if self.is_worn_out:
            return error(401, "worn out")
        honest: Answer = getattr(self, f"_{request.operation}", _unknown)(request)
        hook = self.hooks.get(request.operation)
        return honest if hook is None else hook(self, request, honest)

    def _upload_file(self, request: Request) -> Answer:
        boundary = re.search('boundary="?([^";]+)', request.headers["content-type"])
        assert boundary is not None
        fields: dict[str, bytes] = {}
        for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]+)"', head)
            assert name is not None
            fields[name[1].decode()] = content[:-2]
            named = re.search(rb'filename="([^"]*)"', head)
            if named:
                fields["filename"] = named[1]
        identifier = f"file-in{len(self.files)}"
        self._put(identifier, fields["file"], fields.get("filename", b"f").decode(), "batch")
        return _json(self.files[identifier])

    def _put(self, identifier: str, content: bytes, name: str, purpose: str) -> None:
        self.contents[identifier] = content
        self.files[identifier] = {
            "id": identifier,
            "object": "file",
            "bytes": len(content),
            "created_at": START,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }

    def _list_files(self, request: Request) -> Answer:
        return self._page(self.files, request)

    def _retrieve_file(self, request: Request) -> Answer:
        return self._one(self.files, request.path.split("/")[-1])

    def _delete_file(self, request: Request) -> Answer:
        identifier = request.path.split("/")[-1]
        if self.files.pop(identifier, None) is None:
            return error(404, "No such File object")
        return _json({"id": identifier, "object": "file", "deleted": True})

    def _read_file(self, request: Request) -> Answer:
        identifier = request.path.split("/")[-2]
        if identifier not in self.files:
            return error(404, "No such File object")
        kind = (("Content-Type", "application/octet-stream"),)
        return Answer(200, self.contents[identifier], kind)

    def _create_batch(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        number = len(self.batches)
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "errors": None,
            "input_file_id": asked["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": START,
            "in_progress_at": None,
            "expires_at": START + 86_400,
            "finalizing_at": None,
            "completed_at": None,
            "failed_at": None,
            "expired_at": None,
            "cancelling_at": None,
            "cancelled_at": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": asked.get("metadata"),
        }
        self.batches[batch["id"]] = batch
        return _json(batch)

    def _list_batches(self, request: Request) -> Answer:
        return self._page(self.batches, request)

    def _retrieve_batch(self, request: Request) -> Answer:
        batch = self.batches.get(request.path.split("/")[-1])
        if batch is not None:
            self._move(batch)
        return self._one(self.batches, request.path.split("/")[-1])

    def _cancel_batch(self, request: Request) -> Answer:
        identifier = request.path.split("/")[-2]
        batch = self.batches.get(identifier)
        if batch is not None and batch["status"] not in ("completed", "failed", "expired"):
            batch.update(status="cancelled", cancelling_at=START + 9, cancelled_at=START + 9)
        return self._one(self.batches, identifier)

    def _move(self, batch: dict[str, Any]) -> None:
        lines = self.lines_of(batch)
        total = {"total": len(lines), "completed": 0, "failed": 0}
        if batch["status"] == "validating":
            batch.update(status="in_progress", in_progress_at=START + 1, request_counts=total)
        elif batch["status"] == "in_progress":
            batch.update(status="finalizing", finalizing_at=START + 2)
        elif batch["status"] == "finalizing":
            output = batch["id"].replace("batch_", "file-out")
            self._put(output, self.results(batch), "out.jsonl", "batch_output")
            batch.update(
                status="completed",
                completed_at=START + 3,
                output_file_id=output,
                request_counts={**total, "completed": len(lines)},
            )
            if self.usage:
                tokens = 10 * len(lines)
                batch["usage"] = {
                    "input_tokens": tokens,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": tokens,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": 2 * tokens,
                }

    def lines_of(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        content = self.contents.get(batch["input_file_id"], b"")
        return [json.loads(line) for line in content.splitlines() if line.strip()]

    def results(self, batch: dict[str, Any]) -> bytes:
        """The results of a batch, the last line first."""
        return b"".join(
            json.dumps(result_of(line["custom_id"], number)).encode() + b"\n"
            for number, line in reversed(list(enumerate(self.lines_of(batch))))
        )

    def _one(self, table: dict[str, dict[str, Any]], identifier: str) -> Answer:
        known = table.get(unquote(identifier))
        return error(404, f"No such object: {identifier}") if known is None else _json(known)

    def _page(self, table: dict[str, dict[str, Any]], request: Request) -> Answer:
        entries = list(reversed(table.values()))
        after = request.query.get("after")
        ids = [each["id"] for each in entries]
        start = ids.index(after) + 1 if after in ids else 0
        limit = int(request.query.get("limit", "100"))
        page = entries[start : start + limit]
        return _json(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": start + limit < len(entries),
            }
        )


def result_of(custom_id: str, number: int) -> dict[str, Any]:
    """The result line of one request."""
    return {
        "id": f"batch_req_{number}",
        "custom_id": custom_id,
        "response": {
            "status_code": 200,
            "request_id": f"req_{number}",
            "body": {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion",
                "created": START + 2,
                "model": "gpt-4o-mini-2024-07-18",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": f"re: {custom_id}"},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
            },
        },
        "error": None,
    }


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode())


def _unknown(request: Request) -> Answer:
    return error(404, f"Unknown request URL: {request.method} {request.path}")


_OPERATIONS = (
    ("POST", r"/v1/files", "upload_file"),
    ("GET", r"/v1/files", "list_files"),
    ("GET", r"/v1/files/[^/]+/content", "read_file"),
    ("GET", r"/v1/files/[^/]+", "retrieve_file"),
    ("DELETE", r"/v1/files/[^/]+", "delete_file"),
    ("POST", r"/v1/batches", "create_batch"),
    ("GET", r"/v1/batches", "list_batches"),
    ("GET", r"/v1/batches/[^/]+", "retrieve_batch"),
    ("POST", r"/v1/batches/[^/]+/cancel", "cancel_batch"),
)


def _read(reader: Any, calls: Counter[str]) -> Request | None:
    """The next request of a connection; None at its end."""
    first = reader.readline()
    if not first:
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    operation = next(
        (
            name
            for wanted, path, name in _OPERATIONS
            if wanted == method and re.fullmatch(path, parts.path)
        ),
        "unknown",
    )
    calls[operation] += 1
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Request(operation, method, parts.path, query, headers, body, calls[operation])


def _written(answer: Answer, request: Request) -> bytes:
    if answer.raw is not None:
        return answer.raw
    length = len(answer.body) if answer.length is None else answer.length
    head = f"HTTP/1.1 {answer.status} X\r\n".encode()
    for name, value in answer.headers:
        head += f"{name}: ".encode() + value.encode("latin-1", "replace") + b"\r\n"
    if length >= 0:
        head += f"Content-Length: {length}\r\n".encode()
    if answer.length is not None:
        head += b"Connection: close\r\n"
    return head + b"\r\n" + answer.body
