"""What the model would answer: a request line -> an answer, one file per endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine, RequestLines


class Occasion(NamedTuple):
    """When a line is answered, and its share of chance.

    `at` is in unix seconds. `entropy` is 64 bytes that depend on the seed, the batch and the line
    alone, so that an answer never depends on which other lines were answered before.
    """

    at: int
    entropy: bytes


ENTROPY = 64
"""How many bytes of entropy a line has."""


def occasions(moments: Iterable[int], entropy: bytes) -> Iterator[Occasion]:
    """Those of several lines: when each is answered, and the entropy of all, one after another."""
    return map(Occasion, moments, in_pieces(entropy, ENTROPY))


def in_pieces(together: bytes, size: int) -> list[bytes]:
    """What belongs to each line, of bytes that have `size` for every one."""
    return [together[at : at + size] for at in range(0, len(together), size)]


class Answers(NamedTuple):
    """The answers to several lines, in columns; `usage` is that of the good ones together."""

    status_codes: list[int]
    bodies: list[bytes]
    usage: Usage

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Answers:
        """These answers."""
        good = [answer.usage for answer in answers if is_good(answer.status_code)]
        return cls(
            [answer.status_code for answer in answers],
            [answer.body.encode("ascii") for answer in answers],
            Usage(*map(sum, zip(*good, strict=True))),
        )


Responder = Callable[[RequestLine, Occasion], Answer]
"""Answers one line. It must not change the request and must depend on nothing but its arguments."""

Together = Callable[[RequestLines, Sequence[int], bytes], Answers]
"""Answers several lines as a responder would, one by one; given is when each is answered, in unix
seconds, and the entropy of all, one after another."""


def is_good(status_code: int) -> bool:
    """Whether a line that got this ran well."""
    return 200 <= status_code < 300
