"""Answers that never change: what is left of a client's or a server's cost when nothing is done."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

FILE = {"id": "file-fixed", "object": "file", "bytes": 1, "created_at": 1, "filename": "a.jsonl"}
BATCH = {
    "id": "batch_fixed",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-fixed",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-fixed",
    "created_at": 1,
}


class FixedAnswers:
    """Every file is uploaded, every batch is complete, and every content is the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = json.dumps({**FILE, "purpose": "batch", "status": "processed"}).encode()
        self._batch = json.dumps(BATCH).encode()

    def answer(self, method: str, path: str) -> tuple[str, Iterator[bytes]]:
        """The content type and the body of the answer to a request for `path`."""
        if method == "GET" and path.endswith("/content"):
            return "application/octet-stream", self._content()
        body = self._file if path.startswith("/v1/files") else self._batch
        return "application/json", iter([body])

    def _content(self) -> Iterator[bytes]:
        with self._path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                yield piece


Send = Callable[[dict[str, Any]], Awaitable[None]]


async def serve(
    answers: FixedAnswers, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send
) -> None:
    """Answer one request as an ASGI application, having read its body to the end."""
    while (await receive()).get("more_body"):
        pass
    kind, body = answers.answer(scope["method"], scope["path"])
    headers = [(b"content-type", kind.encode())]
    pieces = list(body) if kind == "application/json" else None
    if pieces:
        headers.append((b"content-length", b"%d" % len(pieces[0])))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces or body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve the file that the first argument names, on a free port that is printed."""
    import functools
    import socket

    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    port = listening.getsockname()[1]
    sys.stdout.write(f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1\n")
    sys.stdout.flush()
    application = functools.partial(serve, FixedAnswers(Path(sys.argv[1])))
    config = uvicorn.Config(
        application, interface="asgi3", lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
