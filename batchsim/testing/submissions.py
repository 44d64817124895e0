"""The request lines that went out, batch by batch, and those of them that are paid for twice."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from batchsim.backends.fake import FakeBackend
from batchsim.domain.batches import Batch
from batchsim.domain.lines import RequestLine, ResultLine
from batchsim.jsonl import read_lines
from batchsim.stores import Store


class Double(NamedTuple):
    """A request submitted again although it needed no second try."""

    custom_id: str
    first: str
    """The id of the batch that it was in already."""
    state: str
    """How that batch, or the request's result in it, stood when the second was created."""
    second: str
    """The id of the batch that it was in again."""


class Submissions:
    """Told of each batch when it is created, since input files may be deleted afterwards.

    `backend` is asked past whatever observes or disturbs it; `store` is where its files rest.
    """

    def __init__(self, backend: FakeBackend, store: Store) -> None:
        self._backend = backend
        self._store = store
        self._lock = threading.RLock()
        self._batches: defaultdict[bytes, list[str]] = defaultdict(list)
        self._good_results: dict[str, frozenset[str]] = {}
        self.requests: list[RequestLine] = []
        """The lines of all batches, oldest batch first. Lines that are no requests are left out."""
        self.doubles: list[Double] = []
        """In the order in which they were submitted again."""

    def add(self, batch: Batch) -> None:
        """Take note of a batch that has just been created."""
        with self._lock:
            for request in self._requests(batch.input_file_id):
                same = self._batches[_identity(request)]
                for earlier in same:
                    if state := self._state(earlier, request.custom_id):
                        self.doubles.append(Double(request.custom_id, earlier, state, batch.id))
                        break
                same.append(batch.id)
                self.requests.append(request)
            self._good_results.setdefault(batch.id, frozenset())

    def before_deletion(self, file_id: str) -> None:
        """Take note of the results in a file that is about to be deleted."""
        with self._lock:
            for batch_id in self._good_results:
                batch = self._backend.undisturbed.retrieve_batch(batch_id)
                if batch.output_file_id == file_id:
                    self._good_results[batch_id] = self._read_good_results(batch)

    def _state(self, batch_id: str, custom_id: str) -> str | None:
        batch = self._backend.undisturbed.retrieve_batch(batch_id)
        if not batch.status.is_terminal:
            return f"which was {batch.status}"
        if batch.output_file_id is None:
            return "whose results were on their way" if batch.request_counts.completed else None
        good = self._good_results[batch_id] or self._read_good_results(batch)
        self._good_results[batch_id] = good
        return "which has a good result for it" if custom_id in good else None

    def _read_good_results(self, batch: Batch) -> frozenset[str]:
        contents = self._lines(batch.output_file_id or "")
        results = (ResultLine.from_object(orjson.loads(content)) for content in contents)
        return frozenset(result.custom_id for result in results if result.is_ok)

    def _requests(self, file_id: str) -> Iterator[RequestLine]:
        for number, content in enumerate(self._lines(file_id), start=1):
            try:
                value = orjson.loads(content)
                body = value["body"]
                model = body.get("model")
                yield RequestLine(number, value["custom_id"], value["url"], model, body)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # validation finds it, and fails the batch

    def _lines(self, file_id: str) -> Iterator[bytes]:
        if file_id in self._store.contents():
            with self._store.open_content(file_id) as stream:
                for line in read_lines(stream):
                    yield line.content


def _identity(request: RequestLine) -> bytes:
    parts = (request.custom_id, request.url, request.body)
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
