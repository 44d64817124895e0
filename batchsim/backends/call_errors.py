"""The requests behind the methods of a Backend, and the error that each failure means.

One question sorts everything: can the request have taken effect? An answer of the 4xx kind says
no. A connection that was never made says no. Everything else (a time-out, a reset, a 5xx, an answer
that cannot be read) leaves it open: for a write that is OutcomeUnknown, for a read it only means
that there is no answer, so Unavailable.
"""

import math
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from batchsim import errors

LONGEST_RETRY_AFTER = 3_600.0  # seconds; who asks for a longer wait is asked again after this one


class Effect(Enum):
    READ = "read"
    WRITE = "write"
    STATE_CHANGE = "state change"
    """A write to an object that exists: a 409 is about its state, not about a race."""


class Call(NamedTuple):
    """One request to the service, in words for messages ("create the batch"), and its effect."""

    words: str
    effect: Effect

    def unanswered(self, what: str) -> errors.BatchsimError:
        """The error for a request after which nothing is known but `what` came instead."""
        if self.effect is Effect.READ:
            return errors.Unavailable(f"could not {self.words}: {what}", hint="try again later")
        return errors.OutcomeUnknown(
            f"asked to {self.words}, but {what}",
            hint="it may have taken effect: look at the files and batches before trying again",
        )

    def unsent(self, why: str) -> errors.Unavailable:
        return errors.Unavailable(
            f"could not {self.words}: {why}; nothing was sent",
            hint="check the network and the base URL, then try again",
        )

    def answered(
        self, status: int, message: str, *, wait: float | None = None, **envelope: str | None
    ) -> errors.BatchsimError:
        """The error for an answer that is neither good nor a redirect.

        `wait` is what its Retry-After asks for, in seconds; `envelope` its type, param and code,
        as far as it has them.
        """
        fields: dict[str, Any] = envelope
        if status == 429:
            return errors.RateLimited(message, retry_after=wait, **fields)
        if status in {401, 403}:
            hint = "check the key: export OPENAI_API_KEY=..."
            return errors.AuthenticationFailed(message, status=status, hint=hint, **fields)
        if status == 404:
            return errors.NotFound(message, status=status, **fields)
        if status == 409 and self.effect is Effect.STATE_CHANGE:
            return errors.Conflict(message, status=status, **fields)
        if status in {303, 408, 409} or status >= 500:
            return self.unanswered(f"the service answered {status}: {message}")
        return errors.Refused(message, status=status, **fields)


CALLS: Mapping[str, Call] = MappingProxyType(
    {
        "upload_file": Call("upload the file", Effect.WRITE),
        "retrieve_file": Call("retrieve the file", Effect.READ),
        "list_files": Call("list the files", Effect.READ),
        "delete_file": Call("delete the file", Effect.STATE_CHANGE),
        "read_file": Call("read the file", Effect.READ),
        "create_batch": Call("create the batch", Effect.WRITE),
        "retrieve_batch": Call("retrieve the batch", Effect.READ),
        "cancel_batch": Call("cancel the batch", Effect.STATE_CHANGE),
        "list_batches": Call("list the batches", Effect.READ),
        "answer": Call("answer the request", Effect.WRITE),
        "create_upload": Call("begin the upload", Effect.WRITE),
        "add_part": Call("add a part to the upload", Effect.WRITE),
        "cancel_upload": Call("cancel the upload", Effect.STATE_CHANGE),
    }
)
"""By the name of the method: those of a Backend, the one of Answers, which costs money, and what
comes before the file of an upload in parts; completing that is `upload_file`."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that the service asks to wait, from 0 to 3600; None when it does not say.

    Understands seconds, HTTP dates, and OpenAI's `retry-after-ms`; junk counts as silence. `now`,
    in unix seconds, is what a date without a Date header is counted from.
    """
    for name, unit in (("retry-after-ms", 1_000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    sent = _date(headers.get("date"))
    return min(max(until - (now if sent is None else sent), 0.0), LONGEST_RETRY_AFTER)


def _date(value: str | None) -> float | None:
    if not value:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
