"""What became of a line, and whether sending it again may go better.

Worth another try is what says nothing against the request: it was never run (expired, missing, or
cancelled by the service), or it was answered in a way that passes (no answer at all, 408, 409, 429
unless the purse is empty, 5xx). Never worth one is what is good, what the service refused for a
reason that stays (other 4xx, content policy, validation), and what somebody cancelled on purpose.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import orjson

from batchsim.domain.lines import Response, ResultLine
from batchsim.runner.policy import HOPELESS_LIMITS

PASSING_STATUSES = frozenset({0, 408, 409, 429})
"""Status codes below 500 of lines that may go better next time; 0 is no answer (observed)."""

PASSING_ERRORS = frozenset({"batch_expired", "batch_cancelled", "request_timeout", "server_error"})
"""Codes of lines that never ran and may run next time (API reference; the last one observed)."""


class Outcome(IntEnum):
    """The one account that a line ends in. The numbers are written into indexes."""

    OK = 1
    FAILED = 2
    """It ran and got no 2xx answer, or its batch failed."""
    EXPIRED = 3
    CANCELLED = 4
    MISSING = 5
    """The service said nothing of it."""
    INVALID = 6
    """It was never sent: the service would refuse it."""

    @property
    def word(self) -> str:
        """As reports and ledgers name it."""
        return self.name.lower()


class Verdict(NamedTuple):
    """What a result says of its line; `again` when the line is worth another try."""

    outcome: Outcome
    again: bool = False


def judge(result: ResultLine, *, was_cancelled: bool) -> Verdict:
    """The verdict of a result. `was_cancelled` when somebody had its batch cancelled."""
    if result.is_ok:
        return Verdict(Outcome.OK)
    error, response = result.error, result.response
    if error is not None:
        again = response is None and error.code in PASSING_ERRORS
        if error.code == "batch_expired":
            return Verdict(Outcome.EXPIRED, again)
        if error.code == "batch_cancelled":
            return Verdict(Outcome.CANCELLED, again and not was_cancelled)
        return Verdict(Outcome.FAILED, again)
    return Verdict(Outcome.FAILED, is_blank(result) or _may_pass(result))


def is_blank(result: ResultLine) -> bool:
    """Whether there is neither an answer nor an error."""
    return result.error is None and (result.response is None or result.response.status_code == 0)


def _may_pass(result: ResultLine) -> bool:
    return result.response is not None and _is_passing(result.response)


def is_passing_answer(status_code: int, body: str) -> bool:
    """Whether the same request may be answered better later; `body` is JSON text."""
    try:
        value = orjson.loads(body)
    except ValueError:
        value = None
    return _is_passing(Response(status_code, None, value))


def _is_passing(response: Response) -> bool:
    code = response.status_code
    if code == 429:
        return response.reason.code not in HOPELESS_LIMITS
    return code in PASSING_STATUSES or 500 <= code < 600
