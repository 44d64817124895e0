"""What can go wrong with a single line of a batch: a named fault, and which lines it hits.

    LineFault("error", custom_id="request-7", status=404)
    LineFault("missing", share=0.1)

Some hit a line while it runs, the others its result while it is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from batchsim.backends.fake.behaviour.checks import (
    check_parameters,
    check_places,
    check_share,
    check_status,
    label_of,
    places_of,
    unknown,
)
from batchsim.backends.fake.ids import Draws
from batchsim.domain.answers import Answer
from batchsim.responders.error_answers import (
    error_answer,
    insufficient_quota,
    server_error,
    timed_out,
)


class LineKind(NamedTuple):
    """What a fault does, the parameters that it has, and whether it spoils a written result."""

    description: str
    parameters: tuple[str, ...] = ()
    spoils: bool = False


LINE_FAULTS: Mapping[str, LineKind] = MappingProxyType(
    {
        "error": LineKind(
            "the line runs badly, with an error status", ("status", "message", "code")
        ),
        "timed_out": LineKind("the line ends without a response, with the error request_timeout"),
        "refusal": LineKind("the model declines to answer, which is a good line"),
        "incomplete": LineKind("the answer stops in the middle, which is a good line"),
        "missing": LineKind("a good result is not written", spoils=True),
        "doubled": LineKind("a good result is written twice", spoils=True),
        "blank": LineKind("a good result has status code 0 and no body", spoils=True),
        "foreign": LineKind("after a good result comes one that nobody asked for", spoils=True),
        "in_both": LineKind("a good result is in the error file too", spoils=True),
        "cut": LineKind("the line of a good result ends in its middle", spoils=True),
    }
)
"""The faults of lines by name."""

PARAMETERS = ("status", "message", "code")

_KNOWN = {429: insufficient_quota, 500: server_error, 504: timed_out}
REFUSAL = "I'm sorry, but I can't help with that request."


@dataclass(frozen=True, slots=True)
class LineFault:
    """One fault of LINE_FAULTS and the lines that it hits, of every batch unless said otherwise.

      `custom_id`: only lines with it; `line`: only that line of the input, counted from 1.
      `batch`: only lines of the so manieth batch of the service, from 1 on.
      `share`: the share of these, between 0 and 1, drawn by key.
      `status` (400 to 599, 500 unless given), `message`, `code`: those of an "error".

    Raises UsageError for what does not go together.
    """

    fault: str
    custom_id: str | None = None
    line: int | None = None
    batch: int | tuple[int, ...] | None = None
    share: float = 1.0
    status: int | None = None
    message: str | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        kind = LINE_FAULTS.get(self.fault)
        if kind is None:
            raise unknown("line fault", self.fault, LINE_FAULTS)
        check_parameters(self, PARAMETERS, kind.parameters)
        check_share(self.share)
        check_status(self.status)
        check_places("line", self.line)
        check_places("batch", self.batch)

    @property
    def spoils(self) -> bool:
        """Whether it hits the result that is written, rather than the line that runs."""
        return LINE_FAULTS[self.fault].spoils

    def hits(self, batch: int, line: int, custom_id: str, draws: Draws) -> bool:
        """Whether it hits a line, counted from 1, of the batch of that number, counted from 0."""
        if self.line not in (None, line) or self.custom_id not in (None, custom_id):
            return False
        if self.batch is not None and batch + 1 not in places_of(self.batch):
            return False
        purpose = f"line fault {label_of(self)}"
        return self.share >= 1 or draws.share(purpose, batch, line) < self.share


def failing_answer(fault: LineFault) -> Answer:
    """What a line gets that is hit by an "error"."""
    status = 500 if fault.status is None else fault.status
    known = _KNOWN.get(status)
    if known is not None and fault.message is None and fault.code is None:
        return known()
    message = fault.message or f"This line was to fail with status {status}."
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return error_answer(status, message, type=kind, code=fault.code)


def declining(answer: Answer) -> Answer:
    """The same chat answer, but the model declines; other answers as they are."""
    body: dict[str, Any] = json.loads(answer.body)
    for choice in body.get("choices", []):
        if "message" in choice:
            choice["message"].update(content=None, refusal=REFUSAL)
    for item in body.get("output", []):
        if item.get("type") == "message":
            item["content"] = [{"type": "refusal", "refusal": REFUSAL}]
    return answer._replace(body=json.dumps(body))


def breaking_off(answer: Answer) -> Answer:
    """The same answer, broken off for its length in the middle."""
    body: dict[str, Any] = json.loads(answer.body)
    for choice in body.get("choices", []):
        choice["finish_reason"] = "length"
        part = choice.get("message", choice)
        name = "content" if "message" in choice else "text"
        part[name] = _half(part.get(name))
    if "output" in body:
        body["status"] = "incomplete"
        body["incomplete_details"] = {"reason": "max_output_tokens"}
        for item in body["output"]:
            for part in item.get("content") or []:
                part["text"] = _half(part.get("text"))
    return answer._replace(body=json.dumps(body))


def _half(text: str | None) -> str | None:
    return text and text[: len(text) // 2]
