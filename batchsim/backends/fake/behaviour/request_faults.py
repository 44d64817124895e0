"""The faults of single requests: their names, and the requests that they hit.

    RequestFault("reply_lost", call="create_batch", nth=1)
    RequestFault("error", call="read", share=0.2, status=502, html=True)

A fault is a value. It does not say how it is shown. In the process it is the error that the OpenAI
adapter would raise; to a client it is what a connection would bring (see fault_injection and
batchsim.domain.transport_failures).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from batchsim.backends.call_errors import CALLS, Effect
from batchsim.backends.fake.behaviour import checks
from batchsim.domain.constraints import Count, ErrorStatus, Seconds, Share
from batchsim.errors import UsageError

ANY, READ, WRITE = "any", "read", "write"
EVERY_CALL = (*CALLS, ANY, READ, WRITE)
WRITES = tuple(name for name, call in CALLS.items() if call.effect is not Effect.READ)
LATE_SECONDS = 60.0
FILES = ("input", "output", "error")


class Kind(NamedTuple):
    """A fault in words, its parameters, and the calls that it can hit (all if none)."""

    description: str
    parameters: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


_AS_ERROR = ("status", "message", "code", "html", "retry_after")

REQUEST_FAULTS: Mapping[str, Kind] = MappingProxyType(
    {
        "error": Kind("an error status is returned and nothing happens", _AS_ERROR),
        "error_after_effect": Kind("an error status is returned, but it happens", _AS_ERROR),
        "unreachable": Kind("no connection can be made; nothing happens"),
        "reset": Kind("the connection is reset before anything happens"),
        "reply_lost": Kind("it happens, and the connection ends without a reply"),
        "late": Kind("no reply comes, and it happens some seconds later", ("seconds",)),
        "duplicated": Kind("it happens twice, and one reply comes", (), (*WRITES, WRITE)),
        "delayed": Kind("the reply comes some seconds late, or too late", ("seconds",)),
        "truncated": Kind("it happens, and the reply ends at a byte (or half-way)", ("at_byte",)),
        "garbled": Kind("it happens, and a web page comes with status 200"),
    }
)

PARAMETERS = ("status", "message", "code", "html", "retry_after", "seconds", "at_byte")


@dataclass(frozen=True, slots=True)
class RequestFault:
    """One fault of REQUEST_FAULTS and the requests that it hits.

    Which requests:
      `call`: a method of Backend ("create_batch"), "answer", "create_upload", "add_part" or
      "cancel_upload" (an upload in parts is completed by "upload_file"), or "any", "read", "write".
      `file`: only those about an "input", "output" or "error" file (read, retrieve, delete).
      `nth`: only the request of this number among these, or several numbers. They are counted
      from 1 since the faults were set.
      `share`: the share of these, between 0 and 1, drawn by key: the seed, the method, the id that
      the request is about, and how often that was asked before. So one more request changes
      nothing for the others.
      `since`, `until`: only requests in this span of seconds after the faults were set.

    Parameters, for the faults that have them:
      `status`: 400 to 599 (500 by default); `message` and `code` of its envelope; `html`: a web
      page comes instead of an envelope, as from the edge.
      `retry_after`: the Retry-After header: seconds, any text at all, or "date:30", which becomes
      the date that is 30 seconds away.
      `seconds`: how late (60 by default). A client in the process whose time-out is shorter
      than a delay gives up then, and costs only simulated time.
      `at_byte`: where the reply ends; half-way by default.

    Raises UsageError for values that do not go together.
    """

    fault: str
    call: str = ANY
    file: str | None = None
    nth: checks.Positions | None = None
    share: Share = 1.0
    since: Seconds = 0.0
    until: Seconds = math.inf
    status: ErrorStatus | None = None
    message: str | None = None
    code: str | None = None
    html: bool = False
    retry_after: float | checks.HeaderText | None = None
    seconds: checks.FiniteSeconds | None = None
    at_byte: Count | None = None

    def __post_init__(self) -> None:
        checks.check_fields(self)
        kind = REQUEST_FAULTS.get(self.fault)
        if kind is None:
            raise checks.unknown("request fault", self.fault, REQUEST_FAULTS)
        if self.call not in EVERY_CALL:
            raise checks.unknown("call", self.call, EVERY_CALL)
        if self.file not in (None, *FILES):
            raise checks.unknown("file", self.file, FILES)
        if kind.calls and self.call not in kind.calls:
            raise UsageError(
                f"{self.fault!r} cannot hit the call {self.call!r}",
                hint=f"name one of {', '.join(kind.calls)}",
            )
        checks.check_parameters(self, PARAMETERS, kind.parameters)
        if not self.since < self.until:
            raise UsageError(
                f"no request comes from {self.since!r} until {self.until!r}",
                hint="`since` must be before `until`",
            )

    @property
    def late_by(self) -> float:
        """How late it is, in seconds."""
        return LATE_SECONDS if self.seconds is None else self.seconds

    def concerns(self, call: str) -> bool:
        if self.call in (READ, WRITE):
            return (CALLS[call].effect is Effect.READ) is (self.call == READ)
        return self.call in (ANY, call)
