"""Request lines -> outcomes, each when its time has come.

Theory of operation. The lines of a batch finish one after another in a drawn order; whoever looks
at the batch asks for the first so many of them to be run, and those that were not run before are
run then. So a responder is never asked about a line that was cancelled or expired before its time,
and about any other once (again only after a restart: what is spooled does not outlive the process).

A responder of ours does not mind being asked early, and what it says of a line and the moment when
that finishes is known at once. So while validation has the line in its hands anyway, `take` has it
answered ahead of its time, which saves reading and parsing it again; `run` then only counts. When a
batch ends early, what was done ahead is thrown away and only what is due is run.

An outcome is spooled as the text of its result line from `"custom_id"` on; the id in front depends
on when the line is written. Memory holds a few numbers for each line and no text.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import BinaryIO

import orjson

from batchsim.backends.fake.faults import Faults
from batchsim.backends.fake.ids import Draws, request_ids
from batchsim.backends.fake.line_faults import (
    LineFault,
    breaking_off,
    declining,
    failing_answer,
)
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.responders import Answer, Occasion, Responder
from batchsim.stores.spool import Spool

QUOTA_EXCEEDED = Answer(
    429,
    '{"error": {"message": "You exceeded your current quota, please check your plan and billing '
    'details.", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}',
)
"""What a line gets once the account's money has run out (observed)."""


NO_STATUS = 0
TIMED_OUT = Answer(
    NO_STATUS,
    '{"code": "request_timeout", "message": "The request timed out before it was completed."}',
)
"""What a line gets, in the place of a response, once the model took too long (code documented)."""

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch has to do: where its lines are, and in which order they finish.

    `offsets` are those of its lines in the input, then the end of the last. `order` holds the
    line indices, from 0, in the order of finishing, and `finished_at` says when the one at a place
    of that order finishes, in unix seconds.
    """

    number: int
    open_input: Callable[[], BinaryIO]
    offsets: array[int]
    order: array[int]
    finished_at: Callable[[int], float]


class Execution:
    """A batch being run: how far it is, and what came of each line."""

    def __init__(self, work: Work, respond: Responder, draws: Draws, faults: Faults) -> None:
        self.work = work
        self._respond = respond
        self._draws = draws
        self._quota = faults.quota_after
        self._line_faults = faults.of_running()
        self._entropy = draws.per_line("answer", work.number, size=64)
        self._request_id = draws.per_line("request id", work.number, size=16).written(request_ids)
        self._reset()

    def _reset(self) -> None:
        lines = len(self.work.order)
        self._spool = Spool()
        self._starts = array("Q", bytes(8 * lines))
        self._lengths = array("I", bytes(4 * lines))
        self.good = bytearray(lines)
        """1 for each line, by its index, that ran well."""
        self._bad_places = bytearray(lines)
        self._usage = [0, 0, 0, 0]
        self._places: array[int] | None = None
        self._taken = 0
        self._done = 0

    @property
    def completed(self) -> int:
        """How many lines have run well."""
        return self._done - self.failed

    @property
    def failed(self) -> int:
        """How many lines have run badly."""
        return self._bad_places.count(1, 0, self._done)

    @property
    def usage(self) -> Usage:
        """Tokens of the lines that ran well, once the batch has come to its end."""
        return Usage(*self._usage)

    def take(self, line: RequestLine) -> None:
        """Answer the next line of the input ahead of its time."""
        if self._places is None:
            self._places = _inverse(self.work.order)
        index = self._taken
        if index < len(self._places):
            self._run_line(self._places[index], index, line)
        self._taken += 1

    @property
    def is_whole(self) -> bool:
        """Whether every line was taken, and no more."""
        return self._taken == len(self.work.order)

    def run(self, count: int) -> bool:
        """Have the first `count` lines of the finishing order run; whether any was still to run."""
        if count <= self._done:
            return False
        if not self._taken:
            self._run_due(count)
        self._done = count
        return True

    def end(self, count: int) -> None:
        """Have the first `count` lines run, and no other."""
        if self._taken and count < len(self.work.order):
            self.close()
            self._reset()
        self.run(count)

    def _run_due(self, count: int) -> None:
        order = self.work.order
        places = sorted(range(self._done, count), key=order.__getitem__)
        indices = [order[place] for place in places]
        with self.work.open_input() as source:
            contents = self._read(source, indices)
            for place, index, content in zip(places, indices, contents, strict=True):
                self._run_line(place, index, _request(index + 1, content))

    def _run_line(self, place: int, index: int, line: RequestLine) -> None:
        status_code, answer, usage = self._answer(place, line)
        custom_id = encode_basestring_ascii(line.custom_id)
        if status_code == NO_STATUS:
            written = f'"custom_id": {custom_id}, "response": null, "error": {answer}}}\n'
        else:
            request_id = self._request_id(line.number).decode()
            written = (
                f'"custom_id": {custom_id}, "response": {{"status_code": {status_code}, '
                f'"request_id": "{request_id}", "body": {answer}}}, "error": null}}\n'
            )
        text = written.encode("ascii")
        self._starts[index] = self._spool.append(text)
        self._lengths[index] = len(text)
        if 200 <= status_code < 300:
            self.good[index] = 1
            total = self._usage  # four additions are cheaper than one of Usages
            total[0] += usage[0]
            total[1] += usage[1]
            total[2] += usage[2]
            total[3] += usage[3]
        else:
            self._bad_places[place] = 1

    def _answer(self, place: int, line: RequestLine) -> Answer:
        quota = self._quota
        if quota is not None and place >= quota:
            return QUOTA_EXCEEDED
        fault = self._fault(line) if self._line_faults else None
        if fault is not None and fault.fault in ("error", "timed_out"):
            return failing_answer(fault) if fault.fault == "error" else TIMED_OUT
        occasion = int(self.work.finished_at(place)), self._entropy(line.number)
        answer = self._respond(line, _new_tuple(Occasion, occasion))
        if fault is None or answer.status_code != 200:
            return answer
        return declining(answer) if fault.fault == "refusal" else breaking_off(answer)

    def _fault(self, line: RequestLine) -> LineFault | None:
        number, draws = self.work.number, self._draws
        return next(
            (
                each
                for each in self._line_faults
                if each.hits(number, line.number, line.custom_id, draws)
            ),
            None,
        )

    def outcome(self, index: int) -> bytes | None:
        """The result line from `"custom_id"` on; None when the line was not run."""
        length = self._lengths[index]
        return self._spool.read(self._starts[index], length) if length else None

    def has_run(self, index: int) -> bool:
        """Whether the line has run, well or badly."""
        return self._lengths[index] > 0

    def custom_ids(self, indices: Iterable[int]) -> Iterator[str]:
        """The custom_ids of some lines, read from the input one by one."""
        with self.work.open_input() as source:
            for content in self._read(source, indices):
                yield orjson.loads(content)["custom_id"]

    def _read(self, source: BinaryIO, indices: Iterable[int]) -> Iterator[bytes]:
        offsets = self.work.offsets
        position = 0
        for index in indices:
            start, end = offsets[index], offsets[index + 1]
            if start != position:
                source.seek(start)
            position = end
            yield source.read(end - start)

    def close(self) -> None:
        """Forget the outcomes."""
        self._spool.close()


def _request(number: int, content: bytes) -> RequestLine:
    value = orjson.loads(content)
    body = value["body"]
    return _new_tuple(
        RequestLine, (number, value["custom_id"], value["url"], body.get("model"), body)
    )


def _inverse(order: array[int]) -> array[int]:
    places = array("I", bytes(4 * len(order)))
    for place, index in enumerate(order):
        places[index] = place
    return places
