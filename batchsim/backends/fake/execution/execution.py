"""Request lines -> outcomes, each when its time has come.

Theory of operation. The lines of a batch finish one after another in a drawn order; whoever looks
at the batch asks for the first so many of them to be run, and those that were not run before are
run then. So a responder is never asked about a line that was cancelled or expired before its time,
and about any other once (again only after a restart: what is spooled does not outlive the process).

A responder of ours does not mind being asked early, and what it says of a line and the moment when
that finishes is known at once. So while validation has the line in its hands anyway, `take` has it
answered ahead of its time, which saves reading and parsing it again; `run` then only counts. When a
batch ends early, what was done ahead is thrown away and only what is due is run.

Neighbouring lines are run together, each step for all of them, since a step by itself costs little.

An outcome is spooled as the text of its result line from `"custom_id"` on; the id in front depends
on when the line is written. Memory holds a few numbers for each line and no text.

What a batch has to do: its lines, in which order they finish, and when.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from json.encoder import encode_basestring_ascii
from typing import BinaryIO

import orjson

from batchsim.backends.fake.behaviour.line_faults import (
    LineFault,
    declined_answer,
    failed_answer,
    incomplete_answer,
)
from batchsim.backends.fake.execution.settings import Behaviour
from batchsim.backends.fake.ids import request_ids
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.responders import ENTROPY, Answers, Occasion, in_pieces, is_good, occasions
from batchsim.stores.spool import Spool

_MOST_TOGETHER = 128
_LARGEST_STRETCH = 1 << 18
"""So many neighbouring lines are read together, or so many bytes of them, whichever are fewer."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch has to do: where its lines are, and in which order they finish.

    `offsets` are those of its lines in the input, then the end of the last. `order` holds the
    line indices, from 0, in the order of finishing; the first can begin at `started`, in unix
    seconds, and the last finishes after `seconds`.
    """

    number: int
    open_input: Callable[[], BinaryIO]
    offsets: array[int]
    order: array[int]
    started: float
    seconds: float

    def finished_at(self, place: int) -> float:
        """When the line at that place of the order finishes, in unix seconds."""
        return self.started + self.seconds * (place + 1) / len(self.order)

    def requests(self, indices: list[int]) -> Iterator[RequestLines]:
        """The lines of those ascending indices, neighbours together, read from the input."""
        offsets = self.offsets
        with self.open_input() as source:
            for begin, end in _stretches(indices, offsets):
                source.seek(offsets[begin])
                yield _requests(begin, source.read(offsets[end] - offsets[begin]))

    def custom_ids(self, indices: Iterable[int]) -> Iterator[str]:
        """The custom_ids of some lines, read from the input one by one."""
        offsets = self.offsets
        with self.open_input() as source:
            for index in indices:
                source.seek(offsets[index])
                content = source.read(offsets[index + 1] - offsets[index])
                yield orjson.loads(content)["custom_id"]


def _stretches(indices: list[int], offsets: array[int]) -> Iterator[tuple[int, int]]:
    """Neighbours among ascending `indices`, as many together as make about a block: begin and end."""
    begin = 0
    for at in range(1, len(indices) + 1):
        if (
            at == len(indices)
            or indices[at] > indices[at - 1] + 1
            or at - begin == _MOST_TOGETHER
            or offsets[indices[at] + 1] - offsets[indices[begin]] > _LARGEST_STRETCH
        ):
            yield indices[begin], indices[at - 1] + 1
            begin = at


def _requests(index: int, content: bytes) -> RequestLines:
    """Neighbouring lines of a valid batch, from that index on."""
    contents = content.removesuffix(b"\n").split(b"\n")
    values = list(map(orjson.loads, contents))
    first, bodies = values[0], [value["body"] for value in values]
    custom_ids = [value["custom_id"] for value in values]
    model = bodies[0].get("model")
    return RequestLines(index + 1, 0, contents, custom_ids, first["url"], model, bodies)


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

_ANSWERED = (
    b'"custom_id": %b, "response": {"status_code": %d, "request_id": "%b", "body": %b}, '
    b'"error": null}\n'
)
_UNANSWERED = b'"custom_id": %b, "response": null, "error": %b}\n'

_FIRST_TOGETHER = 8
_LARGEST_STEP = 1 << 18
"""As many lines are run together as have results of so many bytes; the first few show how long these are."""


class Execution:
    """A batch being run: how far it is, and what came of each line."""

    def __init__(self, work: Work, behaviour: Behaviour) -> None:
        draws, faults = behaviour.draws, behaviour.faults
        self.work = work
        self._respond = behaviour.respond
        self._draws = draws
        self._quota = faults.quota_after
        self._line_faults = faults.running_lines
        self._together = behaviour.together
        if self._line_faults or self._quota is not None:
            self._together = None
        self._entropy = draws.per_line("answer", work.number, size=ENTROPY)
        self._request_ids = draws.per_line("request id", work.number, size=16).written(request_ids)
        self._reset()

    def _reset(self) -> None:
        lines = len(self.work.order)
        self._spool = Spool()
        self._starts = array("Q", bytes(8 * lines))
        self._lengths = array("I", bytes(4 * lines))
        self.good = bytearray(lines)
        """1 for each line, by its index, that ran well."""
        self._bad_places = bytearray(lines)
        self._usage = Usage()
        self._longest = 0
        """The length of the longest of the latest results."""
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
        return self._usage

    def take(self, lines: RequestLines) -> None:
        """Answer the next lines of the input ahead of their time."""
        room = len(self.work.order) - self._taken
        if room > 0:
            self._run_lines(lines.part(0, room))
        self._taken += len(lines.contents)
        if self.is_whole:
            self._places = None  # 200 kB, while dozens of batches may be waiting to end

    @property
    def is_whole(self) -> bool:
        """Whether every line was taken, and no more."""
        return self._taken == len(self.work.order)

    def run(self, count: int) -> bool:
        """Have the first `count` lines of the finishing order run; whether any was still to run."""
        if count <= self._done:
            return False
        if not self._taken:
            self._run_due(sorted(self.work.order[self._done : count]))
        self._done = count
        return True

    def end(self, count: int) -> None:
        """Have the first `count` lines run, and no other."""
        if self._taken and count < len(self.work.order):
            self.close()
            self._reset()
        self.run(count)

    def _run_due(self, indices: list[int]) -> None:
        for lines in self.work.requests(indices):
            self._run_lines(lines)

    def _run_lines(self, lines: RequestLines) -> None:
        """Run neighbouring lines of the input, as many together as have answers of bounded size."""
        begin, count = 0, len(lines.contents)
        while begin < count:
            few = _LARGEST_STEP // self._longest if self._longest else _FIRST_TOGETHER
            end = begin + max(1, few)
            self._run_together(lines.part(begin, end))
            begin = end

    def _run_together(self, lines: RequestLines) -> None:
        begin, end = lines.number - 1, lines.number - 1 + len(lines.contents)
        if self._places is None:
            self._places = _inverse(self.work.order)
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

    def _answers(self, lines: RequestLines, places: Sequence[int]) -> Answers:
        moments = [int(self.work.finished_at(place)) for place in places]
        entropy = self._entropy(lines.number, len(places))
        if self._together is not None:
            return self._together(lines, moments, entropy)
        asked = map(self._answer, places, lines.requests(), occasions(moments, entropy))
        return Answers.of(list(asked))

    def _texts(self, lines: RequestLines, answers: Answers) -> list[bytes]:
        """What the result lines hold, from the custom_id on."""
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
            return failed_answer(fault) if fault.fault == "error" else TIMED_OUT
        answer = self._respond(line, occasion)
        if fault is None or answer.status_code != 200:
            return answer
        return declined_answer(answer) if fault.fault == "refusal" else incomplete_answer(answer)

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

    def outcomes(self, indices: Sequence[int]) -> list[bytes]:
        """The result lines from `"custom_id"` on; an empty one for a line that was not run."""
        starts, lengths = self._starts, self._lengths
        return self._spool.read_all(
            [starts[index] for index in indices], [lengths[index] for index in indices]
        )

    def close(self) -> None:
        """Forget the outcomes."""
        self._spool.close()


def _inverse(order: array[int]) -> array[int]:
    places = array("I", bytes(4 * len(order)))
    for place, index in enumerate(order):
        places[index] = place
    return places
