"""What can go wrong with a single request: a named fault, and which requests it hits.

    RequestFault("reply_lost", call="create_batch", nth=1)
    RequestFault("error", call="read", share=0.2, status=502, html=True)

A fault is a value. It says nothing of how it is shown: in the process it is the error that the
OpenAI adapter would raise, to a client it is what a connection would bring (see fates and
batchsim.domain.transport_failures).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from batchsim.backends.calls import CALLS, Effect
from batchsim.backends.fake.behaviour.checks import (
    check_amount,
    check_parameters,
    check_places,
    check_seconds,
    check_share,
    check_status,
    unknown,
)
from batchsim.errors import UsageError

ANY, READ, WRITE = "any", "read", "write"
EVERY_CALL = (*CALLS, ANY, READ, WRITE)
WRITES = tuple(name for name, call in CALLS.items() if call.effect is not Effect.READ)
LATE_SECONDS = 60.0
FILES = ("input", "output", "error")


class Kind(NamedTuple):
    """What a fault does, the parameters that it has, and the calls that it can hit (all if none)."""

    description: str
    parameters: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


_AS_ERROR = ("status", "message", "code", "html", "retry_after")

REQUEST_FAULTS: Mapping[str, Kind] = MappingProxyType(
    {
        "error": Kind("an error status comes, and nothing happened", _AS_ERROR),
        "error_after_effect": Kind("an error status comes, but it happened", _AS_ERROR),
        "unreachable": Kind("no connection can be made; nothing happened"),
        "reset": Kind("the connection is reset before anything happened"),
        "reply_lost": Kind("it happened, and the connection ends without an answer"),
        "late": Kind("no answer comes, and it happens so many seconds later", ("seconds",)),
        "duplicated": Kind("it happens twice, and one is answered", (), (*WRITES, WRITE)),
        "delayed": Kind("the answer comes so many seconds late, or too late", ("seconds",)),
        "truncated": Kind("it happened, and the answer ends at a byte (or half-way)", ("at_byte",)),
        "garbled": Kind("it happened, and a web page comes with status 200"),
    }
)
"""The faults of requests by name."""

PARAMETERS = ("status", "message", "code", "html", "retry_after", "seconds", "at_byte")


@dataclass(frozen=True, slots=True)
class RequestFault:
    """One fault of REQUEST_FAULTS and the requests that it hits.

    Which requests:
      `call`: a method of Backend ("create_batch"), "answer", "create_upload", "add_part" or
      "cancel_upload" (an upload in parts is completed by "upload_file"), or "any", "read", "write".
      `file`: only those about an "input", "output" or "error" file (read, retrieve, delete).
      `nth`: only the so manieth of these, from 1 on, or several; counted since the faults were set.
      `share`: the share of these, between 0 and 1, drawn by key: the seed, the method, the id that
      it is about, and how often that was asked before. So one more request changes no other's fate.
      `since`, `until`: only those that come so many seconds after the faults were set.

    What happens, for the faults that have it:
      `status`: 400 to 599 (500 unless given); `message` and `code` of its envelope; `html`: a web
      page comes instead of an envelope, as from the edge.
      `retry_after`: the Retry-After header: seconds, any text at all, or "date:30", which becomes
      the date that is 30 seconds away.
      `seconds`: how late (60 unless given). A client in the process whose time-out is shorter
      than a delay gives up then, and costs only simulated time.
      `at_byte`: where the answer ends; half-way unless given.

    Raises UsageError for what does not go together.
    """

    fault: str
    call: str = ANY
    file: str | None = None
    nth: int | tuple[int, ...] | None = None
    share: float = 1.0
    since: float = 0.0
    until: float = math.inf
    status: int | None = None
    message: str | None = None
    code: str | None = None
    html: bool = False
    retry_after: float | str | None = None
    seconds: float | None = None
    at_byte: int | None = None

    def __post_init__(self) -> None:
        kind = REQUEST_FAULTS.get(self.fault)
        if kind is None:
            raise unknown("request fault", self.fault, REQUEST_FAULTS)
        if self.call not in EVERY_CALL:
            raise unknown("call", self.call, EVERY_CALL)
        if self.file is not None and self.file not in FILES:
            raise unknown("file", self.file, FILES)
        if kind.calls and self.call not in kind.calls:
            raise UsageError(
                f"{self.fault!r} cannot hit the call {self.call!r}",
                hint=f"name one of {', '.join(kind.calls)}",
            )
        check_parameters(self, PARAMETERS, kind.parameters)
        check_share(self.share)
        check_status(self.status)
        check_places("nth", self.nth)
        check_seconds("since", self.since)
        check_seconds("until", self.until)
        if not self.since < self.until:
            raise UsageError(f"no request comes from {self.since!r} until {self.until!r}")
        if self.seconds is not None:
            check_seconds("seconds", self.seconds, sys.float_info.max)
        if self.at_byte is not None:
            check_amount("at_byte", self.at_byte)
        wait = self.retry_after
        if isinstance(wait, str) and not (wait.isascii() and wait.isprintable()):
            raise UsageError("retry_after holds characters that no header can")

    @property
    def late_by(self) -> float:
        """How late it is, in seconds."""
        return LATE_SECONDS if self.seconds is None else self.seconds

    def concerns(self, call: str) -> bool:
        """Whether it can hit requests of that method."""
        if self.call in (READ, WRITE):
            return (CALLS[call].effect is Effect.READ) is (self.call == READ)
        return self.call in (ANY, call)
