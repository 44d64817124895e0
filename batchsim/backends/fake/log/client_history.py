"""The history of a client as a value: its requests, batches, files and contents."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from batchsim.backends.fake.log.request_log import Entry, RequestLog
from batchsim.backends.fake.store import KeptContents, Records
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLine, ResultLine


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHistory:
    """A batch, hidden or not. `ended` is its exact end in unix seconds, infinity for none."""

    batch: Batch
    created: float
    ended: float

    def is_live(self, at: float) -> bool:
        return self.ended > at


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The requests of one client, and all batches and files at the time `now` (unix seconds).

    `forgotten` is the number of early requests that are no longer among the `entries`. `start` is
    the time at which the log began. `batches` are in the order of their creation. `files` holds the
    existing files by id.
    """

    start: float
    now: float
    requests: int
    forgotten: int
    entries: tuple[Entry, ...]
    batches: tuple[BatchHistory, ...]
    files: Mapping[str, File]
    limits: Limits
    contents: KeptContents

    def request_lines(self, batch: Batch) -> list[RequestLine] | None:
        """Return the requests in a batch's input, None when they are not known any more."""
        contents = self.contents.lines(batch.input_file_id)
        if contents is None:
            return None if batch.request_counts.total else []
        lines = (_request_line(number, content) for number, content in enumerate(contents, start=1))
        return [line for line in lines if line is not None]

    def result_lines(self, file_id: str | None) -> list[ResultLine] | None:
        """Return the lines of an output or error file, None when they are not known any more."""
        contents = self.contents.lines(file_id)
        if contents is None:
            return None
        return [ResultLine.from_object(orjson.loads(each)) for each in contents if each.strip()]


def history_of(records: Records, requests: RequestLog, limits: Limits, now: float) -> History:
    entries = requests.entries()
    told = {entry.made: entry.last for entry in entries if entry.made}
    return History(
        start=requests.start,
        now=now,
        requests=requests.count,
        forgotten=requests.forgotten,
        entries=entries,
        batches=tuple(
            BatchHistory(
                batch=each.batch,
                created=told.get(each.batch.id, each.batch.created_at),
                ended=each.since if each.batch.status.is_terminal else math.inf,
            )
            for each in records.batches.values()
        ),
        files={identifier: each.file for identifier, each in records.files.items()},
        limits=limits,
        contents=records.kept,
    )


def _request_line(number: int, content: bytes) -> RequestLine | None:
    try:
        value = orjson.loads(content)
        body = value["body"]
        return RequestLine(number, value["custom_id"], value["url"], body.get("model"), body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # validation finds it, and fails the batch
