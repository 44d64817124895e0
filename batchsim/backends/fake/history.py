"""All that a FakeBackend knows of its client, as a value: what a verdict is made of."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from batchsim.backends.fake.requests import Entry
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLine, ResultLine
from batchsim.jsonl import read_lines
from batchsim.stores import Store

ROOM = 32 << 20
"""Bytes of the contents of removed files that are remembered, the latest first."""


MOST_REMOVALS = 10_000
"""Removed files of which the time is remembered, the latest first."""


class RememberedContents:
    """The contents of files, of removed ones too as far as ROOM allows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._removed: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._removed_at: OrderedDict[str, float] = OrderedDict()

    def note_removal(self, file_id: str, at: float) -> None:
        """Remember when a file was deleted or expired."""
        self._removed_at[file_id] = at
        if len(self._removed_at) > MOST_REMOVALS:
            self._removed_at.popitem(last=False)

    def was_there(self, file_id: str, at: float) -> bool:
        """Whether a file was still there at that time, as far as is known."""
        return self._removed_at.get(file_id, math.inf) > at

    def before_drop(self, file_id: str) -> None:
        """Remember a content that is about to be dropped, if it is not too large."""
        try:
            stream = self._store.open_content(file_id)
        except KeyError:
            return
        with stream:
            size = stream.seek(0, 2)
            if size > ROOM:
                return
            stream.seek(0)
            self._removed[file_id] = stream.read()
        self._held += size
        while self._held > ROOM:
            _, oldest = self._removed.popitem(last=False)
            self._held -= len(oldest)

    def are_known(self, file_id: str | None) -> bool:
        """Whether `lines` knows the content of a file (which there is not when the id is None)."""
        return file_id is None or file_id in self._removed or file_id in self._store.contents()

    def lines(self, file_id: str | None) -> Iterator[bytes] | None:
        """The lines of a file; None when its content is not, or no longer, known."""
        if file_id is None:
            return iter(())
        removed = self._removed.get(file_id)
        if removed is not None:
            return iter(removed.split(b"\n"))
        try:
            stream = self._store.open_content(file_id)
        except KeyError:
            return None
        return self._read(stream)

    @staticmethod
    def _read(stream: Any) -> Iterator[bytes]:
        with stream:
            for line in read_lines(stream):
                yield line.content


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHistory:
    """A batch as it is, shown or not; `ended` is exactly when, in unix seconds, infinity for never."""

    batch: Batch
    created: float
    ended: float

    def is_live(self, at: float) -> bool:
        """Whether it had not ended at that time."""
        return self.ended > at


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The requests of one client, and what is there at the time `now` (unix seconds).

    `forgotten` is how many early requests are no longer among the `entries`; `start` is when the
    journal began. `batches` are in the order of their creation; `files` are those that there still
    are, by id.
    """

    start: float
    now: float
    requests: int
    forgotten: int
    entries: tuple[Entry, ...]
    batches: tuple[BatchHistory, ...]
    files: Mapping[str, File]
    limits: Limits
    contents: RememberedContents

    def request_lines(self, batch: Batch) -> list[RequestLine] | None:
        """The lines of a batch's input that are requests; None when they are not known any more."""
        contents = self.contents.lines(batch.input_file_id)
        if contents is None:
            return None if batch.request_counts.total else []
        lines = (_request_line(number, content) for number, content in enumerate(contents, start=1))
        return [line for line in lines if line is not None]

    def result_lines(self, file_id: str | None) -> list[ResultLine] | None:
        """The lines of an output or error file; None when they are not known any more."""
        contents = self.contents.lines(file_id)
        if contents is None:
            return None
        return [ResultLine.from_object(orjson.loads(each)) for each in contents if each.strip()]


def batch_histories(
    batches: Iterable[tuple[Batch, float]], entries: Iterable[Entry]
) -> tuple[BatchHistory, ...]:
    """The histories of batches, each given with the time since which it has had its status."""
    told = {entry.made: entry.last for entry in entries if entry.made}
    return tuple(
        BatchHistory(
            batch=batch,
            created=told.get(batch.id, batch.created_at),
            ended=since if batch.status.is_terminal else math.inf,
        )
        for batch, since in batches
    )


def _request_line(number: int, content: bytes) -> RequestLine | None:
    try:
        value = orjson.loads(content)
        body = value["body"]
        return RequestLine(number, value["custom_id"], value["url"], body.get("model"), body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # validation finds it, and fails the batch
