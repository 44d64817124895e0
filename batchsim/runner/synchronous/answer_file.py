"""The answers to lines that were sent without a batch, kept on disk as result lines."""

import json
import os
import threading
from pathlib import Path
from typing import Self

import orjson

from batchsim.domain.answers import Answer
from batchsim.domain.lines import ResultLine
from batchsim.jsonl import read_lines
from batchsim.runner.results.result_lines import read_result


class AnswerFile:
    """A file of result lines; `found` holds the answers in it by custom_id."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._stream = path.open("a+b")
        self.found = self._recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def append(self, custom_id: str, content: bytes) -> None:
        """Append a result line, and sync the file."""
        result = read_result(content)
        with self._lock:
            self._stream.write(content + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
            if result is not None:
                self.found[custom_id] = result

    def _recover(self) -> dict[str, ResultLine]:
        """Read the whole answers, and cut off a line that a crash left incomplete."""
        self._stream.seek(0)
        end = 0
        found = {}
        for line in read_lines(self._stream):
            result = read_result(line.content)
            if result is None:
                break
            found[result.custom_id] = result
            end = line.offset + len(line.content) + 1
        self._stream.truncate(min(end, self._stream.seek(0, os.SEEK_END)))
        if end > self._stream.seek(0, os.SEEK_END):
            self._stream.write(b"\n")
        return found


def result_line(custom_id: str, answer: Answer) -> bytes:
    """Return an answer as a result line; its body stays as it is, if it is JSON on one line."""
    body = answer.body
    try:
        orjson.loads(body)
    except ValueError:
        body = json.dumps(body)
    if "\n" in body or "\r" in body:
        body = json.dumps(json.loads(body))
    return (
        f'{{"id": null, "custom_id": {json.dumps(custom_id)}, "response": {{"status_code": '
        f'{answer.status_code}, "request_id": null, "body": {body}}}, "error": null}}'
    ).encode()
