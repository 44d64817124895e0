"""The analysis of a history: the outcome of each line, and the lines that were sent twice."""

import functools
import hashlib
import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

import orjson

from batchsim.backends.fake.log.client_history import BatchHistory, History
from batchsim.backends.fake.log.request_log import Entry
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS, Status
from batchsim.domain.lines import RequestLine, ResultLine

MOST_LINES = 200_000  # lines that are analysed, those of the newest batches first

HOPELESS = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of answers with status 429 for which no retry helps (observed)."""


class LineOutcome(Enum):
    """The outcome of a line in the result files, as far as it matters to a client."""

    GOOD = "good"
    TRANSIENT = "transient"
    """It has no answer, and a retry may help: it expired, was lost, or got 429 or 5xx."""
    FINAL = "final"  # the service refuses it, or the client has cancelled it


class Resend(NamedTuple):
    """A line that was sent again without need, in the batch `second`.

    It was in the batch `first` already. `state` describes that batch, or the line's result in it,
    at that time. `was_good` says that there was a good result; otherwise the batch was running.
    """

    custom_id: str
    first: Batch
    state: str
    second: Batch
    was_good: bool


class Analysis:
    """The facts that follow from a history. Each is worked out once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.forgotten_lines = 0  # batches whose lines are not known any more, or are too many

    def at(self, moment: float) -> str:
        """Write a time: seconds since the log began."""
        return f"{moment - self.history.start:,.0f} s"

    def position(self, entry: Entry) -> str:
        """Write the position of an entry in the log."""
        if entry.times == 1:
            return f"request {entry.number} at {self.at(entry.first)}"
        return (
            f"requests {entry.number} to {entry.last_number} "
            f"from {self.at(entry.first)} to {self.at(entry.last)}"
        )

    def entries(self, *calls: str) -> Iterator[Entry]:
        return (entry for entry in self.history.entries if entry.call in calls)

    @functools.cached_property
    def lines(self) -> Mapping[str, list[RequestLine]]:
        """The request lines of each batch by id, as far as they are known."""
        known: dict[str, list[RequestLine]] = {}
        room = MOST_LINES
        for each in reversed(self.history.batches):
            room -= each.batch.request_counts.total
            lines = self.history.request_lines(each.batch) if room >= 0 else None
            if lines is None:
                self.forgotten_lines += 1
            else:
                known[each.batch.id] = lines
        return known

    def outcomes(self, each: BatchHistory) -> Mapping[str, LineOutcome] | None:
        """Return the outcomes of a batch's lines by custom_id, None when they are not known.

        Only lines in its result files have one, so none has before the batch has ended.
        """
        if each.batch.id not in self._outcomes:
            self._outcomes[each.batch.id] = self._read_outcomes(each.batch)
        return self._outcomes[each.batch.id]

    @functools.cached_property
    def _outcomes(self) -> dict[str, dict[str, LineOutcome] | None]:
        return {}

    def _read_outcomes(self, batch: Batch) -> dict[str, LineOutcome] | None:
        outcomes: dict[str, LineOutcome] = {}
        for file_id in (batch.error_file_id, batch.output_file_id):
            results = self.history.result_lines(file_id)
            if results is None:
                return None
            outcomes.update((result.custom_id, _outcome(result)) for result in results)
        return outcomes

    def was_read(self, file_id: str | None) -> bool:
        return file_id in self._read_files

    @functools.cached_property
    def _read_files(self) -> frozenset[str | None]:
        return frozenset(entry.subject for entry in self.entries("read_file") if entry.read)

    def saw_end(self, each: BatchHistory) -> bool:
        looks = self._last_looks
        return max(looks.get(each.batch.id, -math.inf), looks.get("", -math.inf)) >= each.ended

    @functools.cached_property
    def _last_looks(self) -> dict[str, float]:
        """The time of the last look at each batch by id, and at the first page of the list ("")."""
        last: dict[str, float] = {}
        for entry in self.entries("retrieve_batch", "cancel_batch", "list_batches"):
            if entry.error is None:
                subject = entry.subject or ""
                last[subject] = max(entry.last, last.get(subject, entry.last))
        return last

    def knows_of(self, batch: Batch) -> bool:
        """True if the client got the id of a batch when it created it."""
        return batch.id in self._creations or bool(self.history.forgotten)

    def creation(self, batch_id: str) -> Entry | None:
        """Return the request that made a batch."""
        return self._creations.get(batch_id)

    @functools.cached_property
    def _creations(self) -> dict[str, Entry]:
        first: dict[str, Entry] = {}
        for entry in self.entries("create_batch"):
            if entry.made:
                first.setdefault(entry.made, entry)
        return first

    def is_sent_after(self, index: int, line: RequestLine) -> bool:
        """True if a batch after the one at `index` has the line: its custom_id, or url and body."""
        last = self._last_batches
        return max(last.get(line.custom_id, -1), last.get(_request(line), -1)) > index

    @functools.cached_property
    def _last_batches(self) -> dict[str | bytes, int]:
        last: dict[str | bytes, int] = {}
        for index, each in enumerate(self.history.batches):
            for line in self.lines.get(each.batch.id, ()):
                last[line.custom_id] = last[_request(line)] = index
        return last

    @functools.cached_property
    def resends(self) -> list[Resend]:
        """The lines that were sent again without need, in the order of sending."""
        resends: list[Resend] = []
        earlier: defaultdict[bytes, deque[BatchHistory]] = defaultdict(deque)
        if len(self.history.batches) < 2:
            return resends  # without reading the lines, which takes long when they are many
        for each in self.history.batches:
            for line in self.lines.get(each.batch.id, ()):
                same = earlier[_identity(line)]
                if same and same[-1] is each:
                    continue  # twice in one batch is not sent again
                while same:
                    if resend := self._resend(line.custom_id, same[0], each):
                        resends.append(resend)
                        break
                    same.popleft()  # it is no reason later either, since it has ended
                same.append(each)
        return resends

    def _resend(self, custom_id: str, first: BatchHistory, second: BatchHistory) -> Resend | None:
        batch, was_good = first.batch, False
        if first.is_live(second.created):
            state = f"which was {_status_at(first, second.created)}"
        elif (self.outcomes(first) or {}).get(custom_id) is LineOutcome.GOOD and self._could_read(
            first, second
        ):
            state, was_good = "which has a good result for it", True
        else:
            return None
        return Resend(custom_id, batch, state, second.batch, was_good)

    def _could_read(self, first: BatchHistory, second: BatchHistory) -> bool:
        """True if the client could read a batch's results; otherwise they expired unread."""
        file_id = first.batch.output_file_id or ""
        was_deleted = file_id in self._deleted
        was_there = self.history.contents.existed(file_id, second.created)
        return was_deleted or was_there or self.was_read(file_id)

    @functools.cached_property
    def _deleted(self) -> frozenset[str | None]:
        return frozenset(entry.subject for entry in self.entries("delete_file"))


def _request(line: RequestLine) -> bytes:
    return _digest((line.url, line.body))


def _digest(value: Any) -> bytes:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()


def _identity(line: RequestLine) -> bytes:
    return _digest((line.custom_id, line.url, line.body))


def _outcome(result: ResultLine) -> LineOutcome:
    if result.is_ok:
        return LineOutcome.GOOD
    if result.error is not None:
        return (
            LineOutcome.FINAL if result.error.code == "batch_cancelled" else LineOutcome.TRANSIENT
        )
    response = result.response
    if response is None or response.status_code in (0, 408, 409) or response.status_code >= 500:
        return LineOutcome.TRANSIENT
    if response.status_code == 429:
        reason = result.reason
        return LineOutcome.FINAL if reason and reason.code in HOPELESS else LineOutcome.TRANSIENT
    return LineOutcome.FINAL


def _status_at(each: BatchHistory, moment: float) -> Status:
    stamps = {status: getattr(each.batch, name) for status, name in STAMPS.items()}
    entered = {status: at for status, at in stamps.items() if at is not None and at <= moment}
    live = {status: at for status, at in entered.items() if not status.is_terminal}
    return max(
        live,
        key=lambda status: (live[status], list(Status).index(status)),
        default=Status.VALIDATING,
    )


def is_over(each: BatchHistory) -> bool:
    return each.ended < math.inf
