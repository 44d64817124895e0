"""The outcome of a line, and whether it may go better when it is sent again.

Retriable is what says nothing against the request: it never ran (expired, missing, or cancelled by
the service), or it met a passing error (no answer at all, 408, 409, 429 unless the account is out
of money, 5xx). Never retriable is a good result, a refusal for a reason that stays (other 4xx,
content policy, validation), and what somebody cancelled on purpose.
"""

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
    """How a line ended. The numbers are written into indexes."""

    OK = 1
    FAILED = 2
    """It ran and got no 2xx answer, or its batch failed."""
    EXPIRED = 3
    CANCELLED = 4
    MISSING = 5
    """The service said nothing about it."""
    INVALID = 6
    """It was never sent: the service would refuse it."""

    @property
    def word(self) -> str:
        return self.name.lower()


class Ending(NamedTuple):
    outcome: Outcome
    is_retriable: bool = False


def ending_of(result: ResultLine, *, was_cancelled: bool) -> Ending:
    """Return the ending that a result means. `was_cancelled` when somebody cancelled its batch."""
    if result.is_ok:
        return Ending(Outcome.OK)
    error, response = result.error, result.response
    if error is not None:
        is_passing = response is None and error.code in PASSING_ERRORS
        if error.code == "batch_expired":
            return Ending(Outcome.EXPIRED, is_passing)
        if error.code == "batch_cancelled":
            return Ending(Outcome.CANCELLED, is_passing and not was_cancelled)
        return Ending(Outcome.FAILED, is_passing)
    may_pass = response is not None and _is_passing(response)
    return Ending(Outcome.FAILED, is_blank(result) or may_pass)


def is_blank(result: ResultLine) -> bool:
    """True when there is neither an answer nor an error."""
    return result.error is None and (result.response is None or result.response.status_code == 0)


def is_passing_answer(status_code: int, body: str) -> bool:
    """True when the same request may be answered better later; `body` is JSON text."""
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
