"""Inputs that the contract tests upload, and the wait for their batches."""

import io
import json
from typing import Any

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.domain.files import File

ENDPOINT = "/v1/chat/completions"
POLL_SECONDS = 5.0
LONGEST_WAIT = 26 * 3_600.0
MOST_TOKENS = 16  # tokens of an answer: on a real service they are paid for


class OneWay(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time, as a pipe may."""

    def __init__(self, content: bytes, at_once: int) -> None:
        self._content = io.BytesIO(content)
        self._at_once = at_once

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill at most `at_once` bytes of the buffer; returns how many."""
        piece = self._content.read(min(len(buffer), self._at_once))
        buffer[: len(piece)] = piece
        return len(piece)


def input_lines(count: int, *, model: str, text: str = "Say hello") -> bytes:
    """An input file of `count` chat requests, their custom_ids `request-1` and so on."""
    return b"".join(
        json.dumps(
            {
                "custom_id": f"request-{number}",
                "method": "POST",
                "url": ENDPOINT,
                "body": {
                    "model": model,
                    "messages": [{"role": "user", "content": text}],
                    "max_completion_tokens": MOST_TOKENS,
                },
            }
        ).encode()
        + b"\n"
        for number in range(1, count + 1)
    )


def upload(backend: Backend, content: bytes, filename: str = "input.jsonl") -> File:
    """Upload an input file."""
    return backend.upload_file(io.BytesIO(content), filename=filename)


def start(backend: Backend, lines: int, *, model: str) -> Batch:
    """Start a batch of as many lines."""
    file = upload(backend, input_lines(lines, model=model))
    return backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT)


def watch(backend: Backend, batch_id: str) -> list[Batch]:
    """The batch at each poll until it has ended."""
    seen = [backend.retrieve_batch(batch_id)]
    give_up = backend.clock.now() + LONGEST_WAIT
    while not seen[-1].status.is_terminal:
        assert backend.clock.now() < give_up, f"still {seen[-1].status} after 26 hours"  # noqa: S101 - the contract: batches end
        backend.clock.sleep(POLL_SECONDS)
        seen.append(backend.retrieve_batch(batch_id))
    return seen


def result_lines(backend: Backend, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file; none when there is no file."""
    if file_id is None:
        return []
    content = b"".join(backend.read_file(file_id))
    return [json.loads(line) for line in content.split(b"\n") if line]
