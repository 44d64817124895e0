"""An example: some request lines and a behaviour of the service, as a value with a short text.

    lines=3 order=shuffled scenario=expired_partial,reply_lost answers=0:429x1,2:400 seed=4

Everything else has its default. `check_pipeline(run, replay=...)` takes this text.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Self

from batchsim.backends.fake import FakeBackend
from batchsim.clock import VirtualClock
from batchsim.domain.lines import RequestLine
from batchsim.errors import UsageError
from batchsim.responders.simulated import with_text

ENDPOINT = "/v1/chat/completions"
MODEL = "gpt-4o-mini"

LEGAL = (
    *("expired_partial", "reply_lost", "late_output_file", "missing_lines", "duplicate_lines"),
    *("expired_empty", "error_after_effect", "file_race", "incident", "blank_lines", "slow"),
    *("late_expiry", "late_create", "stale_list", "unsorted_list", "cancelled_partial"),
    *("some_failed", "all_failed", "timed_out_lines", "unanswered_lines", "quota_exhausted"),
    *("foreign_lines", "token_limit", "failed_validation", "unseen_file", "truncated_download"),
    *("rate_limited", "flaky_server", "html_errors", "slow_answers", "upload_lost"),
    "clock_skew",
)
"""Scenarios that a pipeline must survive, the most telling first. None of them lasts for ever."""

STATUSES = (400, 429, 500)  # the statuses that a line may be answered with instead of 200
BULK = 5 << 20  # bytes that the first line's answer has when the results are bulky

IDS: dict[str, Callable[[int], str]] = {  # the forms of the lines' custom_ids
    "plain": lambda index: f"request-{index}",
    "numbers": lambda index: str(12 - index),
    "unicode": lambda index: f"ключ \u2028 «{index}» 鍵",
}


class Failure(NamedTuple):
    """The line at `place` (from 0) gets `status` as its answer, `times` times (0: always)."""

    place: int
    status: int
    times: int = 0

    def __str__(self) -> str:
        return f"{self.place}:{self.status}" + (f"x{self.times}" if self.times else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """`lines` request lines, and a service of that seed, order, scenarios and answers.

    `bulky` results hold a line of 5 MB; `ids` is one of IDS.
    """

    lines: int = 1
    order: Literal["input", "shuffled"] = "input"
    scenario: tuple[str, ...] = ()
    answers: tuple[Failure, ...] = ()
    bulky: bool = False
    ids: str = "plain"
    seed: int = 0

    def __str__(self) -> str:
        parts = [f"lines={self.lines}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                parts.append(f"{field.name}={_text(value)}")
        return " ".join(parts)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The example whose text that is. Raises UsageError for other texts."""
        try:
            values = dict(part.split("=", 1) for part in text.split())
            example: Self | None = cls(
                **{name: _PARSERS[name](value) for name, value in values.items()}
            )
        except (ValueError, KeyError, TypeError):
            example = None
        if example is None or not example.is_sound:
            raise UsageError(
                f"{text!r} is no example", hint="give the words that followed `replay` in a failure"
            )
        return example

    @property
    def is_sound(self) -> bool:
        known = self.ids in IDS and self.order in ("input", "shuffled")
        return known and self.lines >= 0 and all(each in LEGAL for each in self.scenario)

    def request_lines(self) -> list[dict[str, Any]]:
        return [
            {
                "custom_id": IDS[self.ids](index),
                "method": "POST",
                "url": ENDPOINT,
                "body": {
                    "model": MODEL,
                    "messages": [{"role": "user", "content": f"Question {index}?"}],
                },
            }
            for index in range(self.lines)
        ]

    def backend(self, custom_ids: list[str]) -> FakeBackend:
        """The service, fresh; its lines are those with `custom_ids`, in that order."""
        return FakeBackend(
            seed=self.seed,
            clock=VirtualClock(),
            order=self.order,
            scenario=",".join(self.scenario) or "completed",
            responder=_responder(self, custom_ids),
        )


FIRST_EXAMPLES = (  # each with one trait; the first has the most lines
    Example(lines=4, order="shuffled"),
    Example(lines=2, answers=(Failure(0, 400),)),
    Example(lines=3, scenario=("expired_partial",)),
    Example(lines=1, scenario=("reply_lost",)),
    Example(lines=1, bulky=True),
    Example(lines=2, answers=(Failure(0, 429, 1),)),
    Example(lines=2, answers=(Failure(0, 400), Failure(1, 400))),
    *(Example(lines=4, scenario=(name,)) for name in LEGAL[3:]),
    Example(lines=1, scenario=("late_output_file",)),
    Example(lines=3, ids="unicode"),
    Example(lines=3, ids="numbers"),
    Example(lines=0),
)


def answer_to(custom_id: str) -> str:
    return f"the answer to {custom_id}"


def _responder(example: Example, custom_ids: list[str]) -> Callable[..., Any]:
    failures = {
        custom_ids[each.place]: each for each in example.answers if each.place < len(custom_ids)
    }
    bulky = custom_ids[0] if example.bulky and custom_ids else None
    asked: Counter[str] = Counter()

    def respond(request: RequestLine, occasion: Any) -> Any:
        asked[request.custom_id] += 1
        failure = failures.get(request.custom_id)
        if failure is not None and (not failure.times or asked[request.custom_id] <= failure.times):
            return failure.status, {"error": _ERRORS[failure.status]}
        answer = with_text(request, occasion, answer_to(request.custom_id))
        if request.custom_id != bulky or answer.status_code != 200:
            return answer
        return answer._replace(body=f'{answer.body[:-1]}, "padding": "{"x" * BULK}"}}')

    return respond


def _error(code: str | None, type: str, message: str) -> dict[str, str | None]:
    return {"message": message, "type": type, "param": None, "code": code}


_ERRORS = {
    400: _error("invalid_value", "invalid_request_error", "The request was refused."),
    429: _error("rate_limit_exceeded", "requests", "Rate limit reached for requests."),
    500: _error(None, "server_error", "The server had an error while processing your request."),
}


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "yes" if value is True else str(value)


def _failure(text: str) -> Failure:
    found = re.fullmatch(r"(\d+):(\d+)(?:x(\d+))?", text)
    if found is None or int(found[2]) not in STATUSES:
        raise ValueError(text)
    return Failure(int(found[1]), int(found[2]), int(found[3] or 0))


_PARSERS: dict[str, Callable[[str], Any]] = {
    "lines": int,
    "order": str,
    "scenario": lambda value: tuple(value.split(",")),
    "answers": lambda value: tuple(map(_failure, value.split(","))),
    "bulky": lambda value: {"yes": True}[value],
    "ids": str,
    "seed": int,
}
