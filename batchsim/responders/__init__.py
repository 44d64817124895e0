"""Answers of the simulated model: a request line and an occasion -> an answer.

In come the lines of a batch, or single requests. Out come answers in the API's shape, good ones and
refusals. `simulated` answers by itself, with one file per endpoint; `scripted` makes a responder of
a user's function, mapping, file or cassette. The types that all of them share are here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine, RequestLines


class Occasion(NamedTuple):
    """The time at which a line is answered, and its share of chance.

    `at` is in unix seconds. `entropy` is 64 bytes that depend on the seed, the batch and the line
    alone. So an answer never depends on which other lines were answered before.
    """

    at: int
    entropy: bytes


ENTROPY = 64  # bytes of entropy of one line


def occasions(moments: Iterable[int], entropy: bytes) -> Iterator[Occasion]:
    return map(Occasion, moments, in_pieces(entropy, ENTROPY))


def in_pieces(joined: bytes, size: int) -> list[bytes]:
    """Divide bytes into pieces of `size`, one for each line."""
    return [joined[at : at + size] for at in range(0, len(joined), size)]


class AnswerColumns(NamedTuple):
    """The answers to several lines, in columns; `usage` is the sum of the good ones."""

    status_codes: list[int]
    bodies: list[bytes]
    usage: Usage

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Self:
        good = [answer.usage for answer in answers if is_good(answer.status_code)]
        return cls(
            [answer.status_code for answer in answers],
            [answer.body.encode("ascii") for answer in answers],
            Usage(*map(sum, zip(*good, strict=True))),
        )


Responder = Callable[[RequestLine, Occasion], Answer]
"""Answers one line. It must not change the request, and must depend on its arguments alone."""

ManyResponder = Callable[[RequestLines, Sequence[int], bytes], AnswerColumns]
"""Answers several lines as a responder answers them one by one. The arguments are the lines, the
time of each answer in unix seconds, and the joined entropy."""


def is_good(status_code: int) -> bool:
    return 200 <= status_code < 300
