"""Write a cassette from the requests and answers that pass the recording proxy."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson

from batchsim.errors import UsageError
from batchsim.jsonl import read_lines
from batchsim.responders.cassette import recording
from batchsim.wire.access import ApiPath

LARGEST_ANSWER = 64 << 20  # bytes; a longer one, such as a result file, is passed on only


class CassetteWriter:
    """Appends to the file `cassette`. May be used from any thread. `close` it in the end."""

    def __init__(self, cassette: Path) -> None:
        self._inputs: dict[str, str] = {}
        self._lock = threading.Lock()
        self._file = _opened(cassette)
        self.recorded = 0  # the number of recordings written so far

    def keep_answer(
        self, place: ApiPath, sent: bytes, status: int, content: IO[bytes], known: tuple[str, ...]
    ) -> None:
        """Record the answer to a single request `sent`; `known` are secrets to redact."""
        body = orjson.loads(sent)
        if place.deployment:
            body["model"] = place.deployment
        text = content.read(LARGEST_ANSWER + 1)
        if body.get("stream") is not True and len(text) <= LARGEST_ANSWER:
            self._write(recording(None, place.path, body, status, orjson.loads(text), known))

    def follow(self, value: Any) -> None:
        for batch in value.get("data", [value]):
            for name in ("output_file_id", "error_file_id"):
                if batch.get(name):
                    self._inputs[batch[name]] = batch["input_file_id"]

    def input_of(self, file_id: str) -> str | None:
        """Return the input of a result file; None when its batch was never seen."""
        return self._inputs.get(file_id)

    def keep_results(
        self, asked: Iterable[tuple[str, str, Any]], content: IO[bytes], known: tuple[str, ...]
    ) -> None:
        """Record the lines of a result file; `asked` has id, url and body of each request."""
        places: dict[str, tuple[int, int]] = {}
        for line in read_lines(content):  # type: ignore[arg-type]
            if line.content.strip():
                places[orjson.loads(line.content)["custom_id"]] = line.offset, len(line.content)
        for custom_id, url, body in asked:
            if custom_id in places:
                self._keep_result(custom_id, url, body, content, places.pop(custom_id), known)
        for custom_id, place in places.items():
            self._keep_result(custom_id, None, None, content, place, known)

    def close(self) -> None:
        self._file.close()

    def _keep_result(
        self,
        custom_id: str,
        url: str | None,
        body: Any,
        content: IO[bytes],
        place: tuple[int, int],
        known: tuple[str, ...],
    ) -> None:
        content.seek(place[0])
        response = orjson.loads(content.read(place[1])).get("response")
        if response and response["status_code"]:
            answer = recording(
                custom_id, url, body, response["status_code"], response["body"], known
            )
            self._write(answer)

    def _write(self, line: bytes) -> None:
        with self._lock:
            self._file.write(line)
            self._file.flush()
            self.recorded += 1


def _opened(cassette: Path) -> BinaryIO:
    try:
        return cassette.open("ab")
    except OSError as error:
        raise UsageError(
            f"the cassette {cassette} cannot be written: {error.strerror}", hint="name another file"
        ) from None
