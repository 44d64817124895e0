"""Fault injection: a request on its way from the client to the service, and the fault that hits it.

Theory of operation. Every request is looked up once, before it does anything. The first fault of
the plan that concerns it, whose count has come and whose draw falls, hits it. Then the request is
carried out, or not, or twice, or later. Where a client would not get its value, the error is raised
that the OpenAI adapter would raise. Its cause says what came over the connection.

There are two plans: the faults of the whole service, and those of the scenario of the batch that
the request is about, if it has its own. Each plan counts the requests since it came into force.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from batchsim.amounts import counted
from batchsim.backends.call_errors import CALLS, Call, retry_after
from batchsim.backends.fake.behaviour import Faults, RequestFault, scenario_of
from batchsim.backends.fake.behaviour.checks import is_at, label_of
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.service import Simulator
from batchsim.domain.transport_failures import Answered, CutShort, Unanswered
from batchsim.errors import BatchsimError, TransferBroken

Value = TypeVar("Value")

READ_AGAIN = frozenset({"late", "duplicated"})
"""The faults under which a content is read twice, or after its sender has gone."""

client_timeout: ContextVar[float] = ContextVar("batchsim_client_timeout", default=math.inf)
"""Seconds after which the client gives up; set by a door that knows it for its client."""


class FaultInjector:
    """Applies faults to requests to `service`. May be used from any thread."""

    def __init__(self, service: Simulator, draws: Draws, faults: Faults) -> None:
        self._service = service
        self._draws = draws
        self._everywhere = self._in_force(faults)
        self._in_scenario: dict[str, FaultsInForce] = {}

    @property
    def has_faults(self) -> bool:
        return self._everywhere.has_faults

    def replace(self, faults: Faults) -> None:
        """Replace the faults. Requests are counted from here."""
        self._everywhere = self._in_force(faults)
        self._in_scenario.clear()

    def call(
        self, name: str, subject: object, ask: Callable[[], Value], scenario: str | None = None
    ) -> Value:
        return self.apply(self.fault_for(name, subject, scenario), name, ask)

    def fault_for(
        self, name: str, subject: object, scenario: str | None = None
    ) -> RequestFault | None:
        """Count a request and return its fault. `scenario` is the own one of a new batch."""
        if not isinstance(subject, str):
            return None  # the service refuses it
        service = self._service
        scenario = scenario or service.scenario_about(subject)
        if scenario is None and not self.has_faults:
            return None
        now, kind_of_file = service.clock.now(), service.kind_of_file
        fault = self._everywhere.match(name, subject, now, kind_of_file)
        if scenario is None:
            return fault
        faults = scenario_of(scenario).faults
        own = self._in_scenario.setdefault(scenario, self._in_force(faults))
        return own.match(name, subject, now, kind_of_file) or fault

    def apply(self, fault: RequestFault | None, name: str, ask: Callable[[], Value]) -> Value:
        return ask() if fault is None else _apply(fault, name, ask, self._service)

    def _in_force(self, faults: Faults) -> "FaultsInForce":
        return FaultsInForce(faults.requests, self._draws, self._service.clock.now())


class FaultsInForce:
    """The faults of requests since `began` (unix seconds), and the requests counted since then."""

    def __init__(self, faults: Sequence[RequestFault], draws: Draws, began: float) -> None:
        self._faults = faults
        self._draws = draws
        self._began = began
        self._lock = threading.Lock()
        self._matches: Counter[int] = Counter()
        self._asked: Counter[str] = Counter()

    @property
    def has_faults(self) -> bool:
        return bool(self._faults)

    def match(
        self, call: str, subject: str, now: float, kind_of_file: Callable[[str], str | None]
    ) -> RequestFault | None:
        """Count a call about `subject` (an id, or a name) and return the fault that hits it."""
        if not self._faults:
            return None
        with self._lock:
            about = f"{call} {subject!r}"
            self._asked[about] += 1
            hits = [
                fault
                for index, fault in enumerate(self._faults)
                if fault.concerns(call)
                and fault.since <= now - self._began < fault.until
                and (fault.file is None or fault.file == kind_of_file(subject))
                and self._is_nth(index, fault)
                and self._is_drawn(fault, about)
            ]
        return hits[0] if hits else None

    def _is_nth(self, index: int, fault: RequestFault) -> bool:
        self._matches[index] += 1
        return is_at(fault.nth, self._matches[index])

    def _is_drawn(self, fault: RequestFault, about: str) -> bool:
        purpose = f"request fault\0{label_of(fault)}\0{about}"
        return fault.share >= 1 or self._draws.share(purpose, self._asked[about]) < fault.share


def cut_off(pieces: Iterator[bytes], at: int) -> Iterator[bytes]:
    """Yield the first `at` bytes of `pieces`, then raise TransferBroken if there are more."""
    left = at
    for piece in pieces:
        if len(piece) > left:
            if left:
                yield piece[:left]
            raise TransferBroken(
                f"the content ended after {counted(at, 'byte')}",
                hint="read it again from its beginning",
            )
        left -= len(piece)
        yield piece


def _apply(fault: RequestFault, name: str, work: Callable[[], Value], service: Simulator) -> Value:
    call = CALLS[name]
    match fault.fault:
        case "error":
            raise _error(fault, name, service.time())
        case "unreachable":
            raise call.unsent("the connection was refused") from Unanswered("refused")
        case "reset":
            raise call.unanswered("the connection was reset") from Unanswered("reset")
        case "late":
            service.later(fault.late_by, work)
            raise _timed_out(call)
        case "duplicated":
            value = work()
            with suppress(BatchsimError):
                work()
            return value
        case "delayed":
            value = work()
            _wait_for_reply(call, fault.late_by, service)
            return value
        case "truncated":
            raise call.unanswered("the answer ended early") from CutShort(fault.at_byte, work())
    with suppress(BatchsimError):  # a refusal is lost with the reply
        work()
    match fault.fault:
        case "error_after_effect":
            raise _error(fault, name, service.time())
        case "garbled":
            page = Answered(200, _page("Please log in"))
            raise call.unanswered("the answer cannot be read") from page
    raise call.unanswered("the connection was closed without an answer") from Unanswered("closed")


def _wait_for_reply(call: Call, seconds: float, service: Simulator) -> None:
    most = client_timeout.get()
    service.clock.sleep(min(seconds, most))
    if seconds > most:
        raise _timed_out(call)


def _timed_out(call: Call) -> BatchsimError:
    error = call.unanswered("the service did not answer in time")
    error.__cause__ = Unanswered("silent")
    return error


def _error(fault: RequestFault, name: str, now: float) -> BatchsimError:
    status = 500 if fault.status is None else fault.status
    default = _ENVELOPES.get(status) or _ENVELOPES[500 if status >= 500 else 400]
    message = fault.message or default.message
    headers = {} if fault.retry_after is None else _wait_headers(fault.retry_after, now)
    wait = retry_after(headers, now)
    if fault.html:
        title = f"{status} {fault.message or _TITLES.get(status, 'Error')}"
        error = CALLS[name].answered(status, title, wait=wait)
        error.__cause__ = Answered(status, _page(title), headers)
        return error
    envelope = {"type": default.type, "param": None, "code": fault.code or default.code}
    error = CALLS[name].answered(status, message, wait=wait, **envelope)
    error.__cause__ = Answered(status, {"error": {"message": message, **envelope}}, headers)
    return error


def _wait_headers(value: float | str, now: float) -> dict[str, str]:
    kind, _, seconds = str(value).partition("date:")
    if seconds and not kind:
        from email.utils import formatdate

        with suppress(ValueError, OverflowError):
            until = formatdate(now + float(seconds), usegmt=True)
            return {"retry-after": until, "date": formatdate(now, usegmt=True)}
    return {"retry-after": str(value)}


def _page(title: str) -> str:
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>"
        "</center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )


class _Envelope(NamedTuple):
    message: str
    type: str
    code: str | None = None


_ENVELOPES = {
    400: _Envelope("The request was refused.", "invalid_request_error"),
    401: _Envelope(
        "Incorrect API key provided. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        "invalid_api_key",
    ),
    403: _Envelope(
        "You have insufficient permissions for this operation.", "invalid_request_error"
    ),
    429: _Envelope(
        "Rate limit reached for requests. Please try again later.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: _Envelope(
        "The server had an error while processing your request. Sorry about that!", "server_error"
    ),
    503: _Envelope("The server is overloaded or not ready yet.", "server_error"),
}
"""The envelope of an error, unless the fault sets its own (the first four and 500: observed)."""

_TITLES = {
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
