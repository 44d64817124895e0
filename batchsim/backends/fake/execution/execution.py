"""Execution of a batch: request lines -> outcomes, each when its time has come.

Theory of operation. A Workload says where the lines of a batch are, in which drawn order they
finish, and when. Whoever looks at the batch asks for the lines that have finished by now, and those
that have not run yet run then. So a responder is never asked about a line that was cancelled or
expired before its time, and once about every other line (again only after a restart, because the
spool does not outlive the process).

1. Lines that are due run in `run`. Neighbours are read and answered together: a step costs little
   more for many lines than for one.
2. Our own responders may be asked early, since their answers depend only on the request and the
   time at which the line finishes, and both are known. So `take` answers the lines while validation
   reads them, which saves reading and parsing them again. `run` then only counts.
3. When a batch ends early, `end` throws away the lines that were answered ahead of their time and
   runs only those that are due.

The spool holds an outcome as the text of its result line from `"custom_id"` on. The id in front of
it depends on when the line is written. Memory holds a few numbers for each line and no text.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from json.encoder import encode_basestring_ascii
from typing import BinaryIO

import orjson

from batchsim.backends.fake.behaviour import line_faults
from batchsim.backends.fake.execution.settings import Settings
from batchsim.backends.fake.ids import request_ids
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.responders import ENTROPY, AnswerColumns, Occasion, in_pieces, is_good, occasions
from batchsim.stores.spool import Spool

_MOST_NEIGHBOURS = 128
_LARGEST_READ = 1 << 18
"""Neighbouring lines that are read together: at most so many, and at most so many bytes."""

_FIRST_STEP = 8
_LARGEST_STEP = 1 << 18
"""Lines that are answered together have results of about this many bytes. The first few show how
long these are."""

QUOTA_EXCEEDED = Answer(  # the answer of a line once the account's money has run out (observed)
    429,
    '{"error": {"message": "You exceeded your current quota, please check your plan and billing '
    'details.", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}',
)

NO_STATUS = 0
TIMED_OUT = Answer(
    NO_STATUS,
    '{"code": "request_timeout", "message": "The request timed out before it was completed."}',
)
"""The error, instead of a response, of a line that took too long (code documented)."""

_ANSWERED = (
    b'"custom_id": %b, "response": {"status_code": %d, "request_id": "%b", "body": %b}, '
    b'"error": null}\n'
)
_UNANSWERED = b'"custom_id": %b, "response": null, "error": %b}\n'


@dataclass(frozen=True, slots=True)
class Workload:
    """The lines of a batch: where they are, in which order they finish, and when.

    `offsets` are those of the lines in the input, then the end of the last line. `order` holds the
    line indices, from 0, in the order of finishing. Running begins at `started`, in unix seconds,
    and the last line finishes after `seconds`.
    """

    number: int
    open_input: Callable[[], BinaryIO]
    offsets: array[int]
    order: array[int]
    started: float
    seconds: float

    def finished_at(self, place: int) -> float:
        """Return when the line at that place of the order finishes, in unix seconds."""
        return self.started + self.seconds * (place + 1) / len(self.order)

    def requests(self, indices: list[int]) -> Iterator[RequestLines]:
        offsets = self.offsets
        with self.open_input() as source:
            for begin, end in _neighbours(indices, offsets):
                source.seek(offsets[begin])
                yield _requests(begin, source.read(offsets[end] - offsets[begin]))

    def custom_ids(self, indices: Iterable[int]) -> Iterator[str]:
        offsets = self.offsets
        with self.open_input() as source:
            for index in indices:
                source.seek(offsets[index])
                content = source.read(offsets[index + 1] - offsets[index])
                yield orjson.loads(content)["custom_id"]


def _neighbours(indices: list[int], offsets: array[int]) -> Iterator[tuple[int, int]]:
    """Divide ascending `indices` into runs of neighbours of bounded size: begin and end."""
    begin = 0
    for at in range(1, len(indices) + 1):
        if (
            at == len(indices)
            or indices[at] > indices[at - 1] + 1
            or at - begin == _MOST_NEIGHBOURS
            or offsets[indices[at] + 1] - offsets[indices[begin]] > _LARGEST_READ
        ):
            yield indices[begin], indices[at - 1] + 1
            begin = at


def _requests(index: int, content: bytes) -> RequestLines:
    """Parse neighbouring lines of a valid batch. The first has that index."""
    contents = content.removesuffix(b"\n").split(b"\n")
    values = list(map(orjson.loads, contents))
    first, bodies = values[0], [value["body"] for value in values]
    custom_ids = [value["custom_id"] for value in values]
    model = bodies[0].get("model")
    return RequestLines(index + 1, 0, contents, custom_ids, first["url"], model, bodies)


class Execution:
    """A batch that runs its lines: how far it is, and the outcome of each line."""

    def __init__(self, workload: Workload, settings: Settings) -> None:
        draws, faults = settings.draws, settings.faults
        self.workload = workload
        self._respond = settings.respond
        self._draws = draws
        self._quota = faults.quota_after
        self._line_faults = faults.running_lines
        self._respond_many = settings.respond_many
        if self._line_faults or self._quota is not None:
            self._respond_many = None  # a fault concerns a line by its place or its number
        self._entropy = draws.per_line("answer", workload.number, size=ENTROPY)
        self._request_ids = draws.per_line("request id", workload.number, size=16).written(
            request_ids
        )
        self._reset()

    def _reset(self) -> None:
        lines = len(self.workload.order)
        self._spool = Spool()
        self._starts = array("Q", bytes(8 * lines))
        self._lengths = array("I", bytes(4 * lines))
        self.good = bytearray(lines)  # 1 for each good line, by its index
        self._bad_places = bytearray(lines)
        self._usage = Usage()
        self._longest = 0  # the length of the longest of the latest results
        self._places: array[int] | None = None
        self._taken = 0
        self._done = 0

    @property
    def completed(self) -> int:
        return self._done - self.failed

    @property
    def failed(self) -> int:
        return self._bad_places.count(1, 0, self._done)

    @property
    def usage(self) -> Usage:
        """Tokens of the good lines, once the batch has ended."""
        return self._usage

    def take(self, lines: RequestLines) -> None:
        """Answer the next lines of the input ahead of their time (2)."""
        room = len(self.workload.order) - self._taken
        if room > 0:
            self._run_lines(lines.part(0, room))
        self._taken += len(lines.contents)
        if self.is_whole:
            self._places = None  # 200 kB, while dozens of batches may be waiting to end

    @property
    def is_whole(self) -> bool:
        return self._taken == len(self.workload.order)

    def run(self, count: int) -> bool:
        """Run the first `count` lines of the finishing order (1); False when all had run."""
        if count <= self._done:
            return False
        if not self._taken:
            for lines in self.workload.requests(sorted(self.workload.order[self._done : count])):
                self._run_lines(lines)
        self._done = count
        return True

    def end(self, count: int) -> None:
        """Run the first `count` lines of the finishing order, and no other (3)."""
        if self._taken and count < len(self.workload.order):
            self.close()
            self._reset()
        self.run(count)

    def _run_lines(self, lines: RequestLines) -> None:
        begin, count = 0, len(lines.contents)
        while begin < count:
            few = _LARGEST_STEP // self._longest if self._longest else _FIRST_STEP
            end = begin + max(1, few)
            self._run_step(lines.part(begin, end))
            begin = end

    def _run_step(self, lines: RequestLines) -> None:
        begin, end = lines.number - 1, lines.number - 1 + len(lines.contents)
        if self._places is None:
            self._places = _inverse(self.workload.order)
        places = self._places[begin:end]
        answers = self._answers(lines, places)
        texts = self._texts(lines, answers)
        lengths = list(map(len, texts))
        self._longest = max(lengths)
        start = self._spool.append(b"".join(texts))
        self._starts[begin:end] = array("Q", list(accumulate(lengths, initial=start))[:-1])
        self._lengths[begin:end] = array("I", lengths)
        good = bytes(map(is_good, answers.status_codes))
        self.good[begin:end] = good
        if 0 in good:
            for place, is_one in zip(places, good, strict=True):
                self._bad_places[place] = not is_one
        self._usage += answers.usage

    def _answers(self, lines: RequestLines, places: Sequence[int]) -> AnswerColumns:
        moments = [int(self.workload.finished_at(place)) for place in places]
        entropy = self._entropy(lines.number, len(places))
        if self._respond_many is not None:
            return self._respond_many(lines, moments, entropy)
        one_by_one = map(self._answer, places, lines.requests(), occasions(moments, entropy))
        return AnswerColumns.of(list(one_by_one))

    def _texts(self, lines: RequestLines, answers: AnswerColumns) -> list[bytes]:
        """Write the result lines from `"custom_id"` on."""
        request_ids = self._request_ids(lines.number, len(lines.contents))
        columns = zip(
            map(str.encode, map(encode_basestring_ascii, lines.custom_ids)),
            answers.status_codes,
            in_pieces(request_ids, self._request_ids.width),
            answers.bodies,
            strict=True,
        )
        if NO_STATUS not in answers.status_codes:
            return list(map(_ANSWERED.__mod__, columns))
        return [
            _ANSWERED % (custom_id, status_code, request_id, body)
            if status_code != NO_STATUS
            else _UNANSWERED % (custom_id, body)
            for custom_id, status_code, request_id, body in columns
        ]

    def _answer(self, place: int, line: RequestLine, occasion: Occasion) -> Answer:
        quota = self._quota
        if quota is not None and place >= quota:
            return QUOTA_EXCEEDED
        fault = self._fault(line) if self._line_faults else None
        if fault is not None and fault.fault in ("error", "timed_out"):
            return line_faults.failed_answer(fault) if fault.fault == "error" else TIMED_OUT
        answer = self._respond(line, occasion)
        if fault is None or answer.status_code != 200:
            return answer
        return (
            line_faults.declined_answer(answer)
            if fault.fault == "refusal"
            else line_faults.incomplete_answer(answer)
        )

    def _fault(self, line: RequestLine) -> line_faults.LineFault | None:
        number, draws = self.workload.number, self._draws
        for each in self._line_faults:
            if each.hits(number, line.number, line.custom_id, draws):
                return each
        return None

    def outcomes(self, indices: Sequence[int]) -> list[bytes]:
        """Return the result lines from `"custom_id"` on, empty for a line that has not run."""
        starts, lengths = self._starts, self._lengths
        return self._spool.read_all(
            [starts[index] for index in indices], [lengths[index] for index in indices]
        )

    def close(self) -> None:
        self._spool.close()


def _inverse(order: array[int]) -> array[int]:
    places = array("I", bytes(4 * len(order)))
    for place, index in enumerate(order):
        places[index] = place
    return places
