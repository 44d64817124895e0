"""The answers that came without a batch, on the disk in the shape of result lines."""

from __future__ import annotations

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


class KeptAnswers:
    """The answers that came, on the disk: a file of result lines."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._stream = path.open("a+b")
        self.found = self._recover()
        """The answers by custom_id."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def keep(self, custom_id: str, result: bytes) -> None:
        """Keep a result line, on the disk."""
        told = read_result(result)
        with self._lock:
            self._stream.write(result + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
            if told is not None:
                self.found[custom_id] = told

    def _recover(self) -> dict[str, ResultLine]:
        """The answers that are whole; a line that a crash cut short is taken off."""
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
    """An answer as a result line; its body stays as it is, if it is JSON on one line."""
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
