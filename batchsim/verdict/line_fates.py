"""What follows from a history about single lines: what became of each, and which went out twice."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

import orjson

from batchsim.backends.fake.log.history import BatchHistory, History
from batchsim.backends.fake.log.request_log import Entry
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS, Status
from batchsim.domain.lines import RequestLine, ResultLine

MOST_LINES = 200_000
"""Lines that are looked at, those of the newest batches first."""

HOPELESS = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of answers with status 429 that no second try mends (observed)."""


class Fate(Enum):
    """What the result files say of a line, as far as a client must care."""

    GOOD = "good"
    PASSING = "passing"
    """It has no answer for a reason that another try may mend: it expired, got lost, 429, 5xx."""
    FINAL = "final"
    """The service refuses it; or the client has cancelled it."""


class Double(NamedTuple):
    """A line that went out again although it needed no second try, in batch `second`.

    `first` is the batch that it was in already, `state` how that batch, or the line's result in
    it, stood then. `was_good` says that there was a good result; else the batch was running.
    """

    custom_id: str
    first: Batch
    state: str
    second: Batch
    was_good: bool


class Case:
    """A history and what follows from it; each thing is worked out once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.forgotten_lines = 0
        """How many batches there are whose lines are not known, or are too many to look at."""

    def at(self, moment: float) -> str:
        """A time in words: seconds since the journal began."""
        return f"{moment - self.history.start:,.0f} s"

    def place(self, entry: Entry) -> str:
        """Where an entry stands in the journal, in words."""
        if entry.times == 1:
            return f"request {entry.number} at {self.at(entry.first)}"
        return (
            f"requests {entry.number} to {entry.last_number} "
            f"from {self.at(entry.first)} to {self.at(entry.last)}"
        )

    def entries(self, *calls: str) -> Iterator[Entry]:
        """The entries of some calls."""
        return (entry for entry in self.history.entries if entry.call in calls)

    @functools.cached_property
    def lines(self) -> Mapping[str, list[RequestLine]]:
        """The request lines of the batches by id, as far as they are known."""
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

    def fates(self, each: BatchHistory) -> Mapping[str, Fate] | None:
        """What became of the lines of a batch, by custom_id; None when it is not known any more.

        Those that its files do not name are not among them; nor is any when it has not ended.
        """
        if each.batch.id not in self._fates:
            self._fates[each.batch.id] = self._read_fates(each.batch)
        return self._fates[each.batch.id]

    @functools.cached_property
    def _fates(self) -> dict[str, dict[str, Fate] | None]:
        return {}

    def _read_fates(self, batch: Batch) -> dict[str, Fate] | None:
        files = (batch.error_file_id, batch.output_file_id)
        if not all(map(self.history.contents.has, files)):
            return None
        return {
            result.custom_id: _fate(result)
            for file_id in files
            for result in self.history.result_lines(file_id) or ()
        }

    def was_read(self, file_id: str | None) -> bool:
        """Whether a file was read from at all."""
        return file_id in self._read_files

    @functools.cached_property
    def _read_files(self) -> frozenset[str | None]:
        return frozenset(entry.subject for entry in self.entries("read_file") if entry.read)

    def saw_end(self, each: BatchHistory) -> bool:
        """Whether the client has seen that a batch ended."""
        return any(
            entry.last >= each.ended and (entry.subject == each.batch.id or not entry.subject)
            for entry in self.entries("retrieve_batch", "cancel_batch", "list_batches")
            if entry.error is None
        )

    def knows_of(self, each: BatchHistory) -> bool:
        """Whether the client was told the id of a batch when it created it."""
        return each.batch.id in self._made or bool(self.history.forgotten)

    @functools.cached_property
    def _made(self) -> frozenset[str | None]:
        return frozenset(entry.made for entry in self.entries("create_batch"))

    def is_sent_after(self, place: int, line: RequestLine) -> bool:
        """Whether a batch after the one at `place` has the line: its custom_id, or its url and body."""
        last = self._last_places
        return max(last.get(line.custom_id, -1), last.get(_request(line), -1)) > place

    @functools.cached_property
    def _last_places(self) -> dict[str | bytes, int]:
        places: dict[str | bytes, int] = {}
        for place, each in enumerate(self.history.batches):
            for line in self.lines.get(each.batch.id, ()):
                places[line.custom_id] = places[_request(line)] = place
        return places

    @functools.cached_property
    def doubles(self) -> list[Double]:
        """The lines that went out again without need, in the order in which they did."""
        doubles: list[Double] = []
        earlier: defaultdict[bytes, list[BatchHistory]] = defaultdict(list)
        if len(self.history.batches) < 2:
            return doubles  # without reading the lines, which takes long when they are many
        for each in self.history.batches:
            for line in self.lines.get(each.batch.id, ()):
                same = earlier[_identity(line)]
                if each in same[-1:]:
                    continue  # twice in one batch, which is no other sending of it
                for first in same:
                    if double := self._double(line.custom_id, first, each):
                        doubles.append(double)
                        break
                same.append(each)
        return doubles

    def _double(self, custom_id: str, first: BatchHistory, second: BatchHistory) -> Double | None:
        batch, was_good = first.batch, False
        if first.is_live(second.created):
            state = f"which was {_status_at(first, second.created)}"
        elif (self.fates(first) or {}).get(custom_id) is Fate.GOOD and self._could_read(
            first, second
        ):
            state, was_good = "which has a good result for it", True
        else:
            return None
        return Double(custom_id, batch, state, second.batch, was_good)

    def _could_read(self, first: BatchHistory, second: BatchHistory) -> bool:
        """Whether the results of a batch were there for the client; else they expired unread."""
        file_id = first.batch.output_file_id or ""
        was_deleted = any(entry.subject == file_id for entry in self.entries("delete_file"))
        was_there = self.history.contents.existed(file_id, second.created)
        return was_deleted or was_there or self.was_read(file_id)


def _request(line: RequestLine) -> bytes:
    return _digest((line.url, line.body))


def _digest(value: Any) -> bytes:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()


def _identity(line: RequestLine) -> bytes:
    return _digest((line.custom_id, line.url, line.body))


def _fate(result: ResultLine) -> Fate:
    if result.is_ok:
        return Fate.GOOD
    if result.error is not None:
        return Fate.FINAL if result.error.code == "batch_cancelled" else Fate.PASSING
    response = result.response
    if response is None or response.status_code in (0, 408, 409) or response.status_code >= 500:
        return Fate.PASSING
    if response.status_code == 429:
        reason = result.reason
        return Fate.FINAL if reason and reason.code in HOPELESS else Fate.PASSING
    return Fate.FINAL


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
    """Whether a batch has ended."""
    return each.ended < math.inf
