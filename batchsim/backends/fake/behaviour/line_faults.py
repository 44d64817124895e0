"""The faults of single lines of a batch: their names, and the lines that they hit.

    LineFault("error", custom_id="request-7", status=404)
    LineFault("missing", share=0.1)

Some hit a line while it runs, the others its result while it is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from batchsim.backends.fake.behaviour import checks
from batchsim.backends.fake.ids import Draws
from batchsim.domain.answers import Answer
from batchsim.domain.constraints import ErrorStatus, Positive, Share
from batchsim.responders import error_answers


class LineKind(NamedTuple):
    """A fault in words, its parameters, and whether it hits the written result."""

    description: str
    parameters: tuple[str, ...] = ()
    hits_result: bool = False


PARAMETERS = ("status", "message", "code")

LINE_FAULTS: Mapping[str, LineKind] = MappingProxyType(
    {
        "error": LineKind("the line fails with an error status", PARAMETERS),
        "timed_out": LineKind("the line ends without a response, with the error request_timeout"),
        "refusal": LineKind("the model declines to answer; the line is good"),
        "incomplete": LineKind("the answer stops in the middle; the line is good"),
        "missing": LineKind("a good result is not written", hits_result=True),
        "doubled": LineKind("a good result is written twice", hits_result=True),
        "blank": LineKind("a good result has status code 0 and no body", hits_result=True),
        "foreign": LineKind("a result that nobody asked for follows a good one", hits_result=True),
        "in_both": LineKind("a good result is in the error file too", hits_result=True),
        "cut": LineKind("the line of a good result ends in its middle", hits_result=True),
    }
)

REFUSAL = "I'm sorry, but I can't help with that request."

_KNOWN_ERRORS = {
    429: error_answers.insufficient_quota,
    500: error_answers.server_error,
    504: error_answers.timed_out,
}


@dataclass(frozen=True, slots=True)
class LineFault:
    """One fault of LINE_FAULTS and the lines that it hits, of every batch unless said otherwise.

      `custom_id`: only lines with it; `line`: only that line of the input, counted from 1.
      `batch`: only lines of the batch of this number in the service, counted from 1, or several.
      `share`: the share of these lines, between 0 and 1, drawn by key.
      `status` (400 to 599, 500 by default), `message`, `code`: those of an "error".

    Raises UsageError for values that do not go together.
    """

    fault: str
    custom_id: str | None = None
    line: Positive | None = None
    batch: checks.Positions | None = None
    share: Share = 1.0
    status: ErrorStatus | None = None
    message: str | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        checks.check_fields(self)
        kind = LINE_FAULTS.get(self.fault)
        if kind is None:
            raise checks.unknown("line fault", self.fault, LINE_FAULTS)
        checks.check_parameters(self, PARAMETERS, kind.parameters)

    @property
    def hits_result(self) -> bool:
        """True if it hits the written result, and not the line while it runs."""
        return LINE_FAULTS[self.fault].hits_result

    def hits(self, batch: int, line: int, custom_id: str, draws: Draws) -> bool:
        """True if it hits a line, counted from 1, of the batch of that number, counted from 0."""
        if self.line not in (None, line) or self.custom_id not in (None, custom_id):
            return False
        if not checks.is_at(self.batch, batch + 1):
            return False
        purpose = f"line fault {checks.label_of(self)}"
        return self.share >= 1 or draws.share(purpose, batch, line) < self.share


def failed_answer(fault: LineFault) -> Answer:
    status = 500 if fault.status is None else fault.status
    known = _KNOWN_ERRORS.get(status)
    if known is not None and fault.message is None and fault.code is None:
        return known()
    message = fault.message or f"This line was to fail with status {status}."
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return error_answers.error_answer(status, message, type=kind, code=fault.code)


def declined_answer(answer: Answer) -> Answer:
    """The same chat answer with a refusal as its text. Other answers stay as they are."""
    body: dict[str, Any] = json.loads(answer.body)
    for choice in body.get("choices", []):
        if "message" in choice:
            choice["message"].update(content=None, refusal=REFUSAL)
    for item in body.get("output", []):
        if item.get("type") == "message":
            item["content"] = [{"type": "refusal", "refusal": REFUSAL}]
    return answer._replace(body=json.dumps(body))


def incomplete_answer(answer: Answer) -> Answer:
    """The first half of the same answer, ended for its length."""
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
