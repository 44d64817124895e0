"""What becomes of each request: the faults of a plan, met by the calls of a FakeBackend.

Theory of operation. Every call is looked up once, before it does anything: the first fault of the
plan that concerns it, whose count has come and whose draw falls, is its fate. Then it is carried
out, or not, and an error is raised in the place of its value: the one that the OpenAI adapter would
raise for what a client saw, raised from the TransportFailure that says what that was.

The requests of a backend, each meeting its fate on its way to the service.

Theory of operation. A request is looked up among the faults of the whole service, and among those of
the scenario that its batch lives in, if it has one of its own. Each plan counts the requests that it
has seen since it came into force (see fates).
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from batchsim.amounts import counted
from batchsim.backends.calls import CALLS, Call, retry_after
from batchsim.backends.fake.behaviour.checks import is_at, label_of
from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.behaviour.request_faults import RequestFault
from batchsim.backends.fake.behaviour.scenarios import scenario_of
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.service.simulator import Simulator
from batchsim.domain.transport_failures import Answered, CutShort, Unanswered
from batchsim.errors import BatchsimError, TransferBroken

Value = TypeVar("Value")

READ_AGAIN = frozenset({"late", "duplicated"})
"""The faults under which a content is read when its sender has gone, or twice."""

patience: ContextVar[float] = ContextVar("batchsim_patience", default=math.inf)
"""Seconds after which whoever asks gives up; set by a door that knows it for its client."""


class Fates:
    """The faults of requests in force since `began` (unix seconds). May be used from any thread."""

    def __init__(self, faults: Sequence[RequestFault], draws: Draws, began: float) -> None:
        self._faults = faults
        self._draws = draws
        self._began = began
        self._lock = threading.Lock()
        self._met: Counter[int] = Counter()
        self._asked: Counter[str] = Counter()

    @property
    def can_fall(self) -> bool:
        """Whether there are any."""
        return bool(self._faults)

    def of(
        self, call: str, subject: str, now: float, kind_of_file: Callable[[str], str | None]
    ) -> RequestFault | None:
        """What hits this call about `subject` (an id, or a name), which is hereby counted."""
        if not self._faults:
            return None
        with self._lock:
            about = f"{call} {subject!r}"
            self._asked[about] += 1
            times = self._asked[about]
            hits = [
                fault
                for place, fault in enumerate(self._faults)
                if self._is_met(fault, call, now)
                and (fault.file is None or fault.file == kind_of_file(subject))
                and self._counts(place, fault)
                and self._falls(fault, about, times)
            ]
        return hits[0] if hits else None

    def _is_met(self, fault: RequestFault, call: str, now: float) -> bool:
        return fault.concerns(call) and fault.since <= now - self._began < fault.until

    def _counts(self, place: int, fault: RequestFault) -> bool:
        self._met[place] += 1
        return is_at(fault.nth, self._met[place])

    def _falls(self, fault: RequestFault, about: str, times: int) -> bool:
        purpose = f"request fault\0{label_of(fault)}\0{about}"
        return fault.share >= 1 or self._draws.share(purpose, times) < fault.share


class Service(NamedTuple):
    """What a fault needs of the service: its time, waiting, and doing something later."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
    later: Callable[[float, Callable[[], object]], None]


def meet(fault: RequestFault, name: str, work: Callable[[], Value], service: Service) -> Value:
    """Carry out the call of that name as `fault` has it, `work` being what it does."""
    call = CALLS[name]
    match fault.fault:
        case "error":
            raise _error(fault, name, service.now())
        case "unreachable":
            raise call.unsent("the connection was refused") from Unanswered("refused")
        case "reset":
            raise call.unanswered("the connection was reset") from Unanswered("reset")
        case "late":
            service.later(fault.late_by, work)
            raise _silent(call)
        case "duplicated":
            value = work()
            with suppress(BatchsimError):
                work()
            return value
        case "delayed":
            value = work()
            _wait_for_answer(call, fault.late_by, service)
            return value
        case "truncated":
            raise call.unanswered("the answer ended early") from CutShort(fault.at_byte, work())
    with suppress(BatchsimError):  # whatever it was, nobody will know
        work()
    match fault.fault:
        case "error_after_effect":
            raise _error(fault, name, service.now())
        case "garbled":
            page = Answered(200, _page("Please log in"))
            raise call.unanswered("the answer cannot be read") from page
    raise call.unanswered("the connection was closed without an answer") from Unanswered("closed")


def _wait_for_answer(call: Call, seconds: float, service: Service) -> None:
    most = patience.get()
    service.sleep(min(seconds, most))
    if seconds > most:
        raise _silent(call)


def _silent(call: Call) -> BatchsimError:
    error = call.unanswered("the service did not answer in time")
    error.__cause__ = Unanswered("silent")
    return error


def cut_off(pieces: Iterator[bytes], at: int) -> Iterator[bytes]:
    """The first `at` bytes of `pieces`, then TransferBroken, unless they are no more."""
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


def _error(fault: RequestFault, name: str, now: float) -> BatchsimError:
    status = 500 if fault.status is None else fault.status
    words = _ENVELOPES.get(status) or _ENVELOPES[500 if status >= 500 else 400]
    message = fault.message or words.message
    headers = {} if fault.retry_after is None else _wait(fault.retry_after, now)
    wait = retry_after(headers, now)
    if fault.html:
        title = f"{status} {fault.message or _TITLES.get(status, 'Error')}"
        error = CALLS[name].answered(status, title, wait=wait)
        error.__cause__ = Answered(status, _page(title), headers)
        return error
    envelope = {"type": words.type, "param": None, "code": fault.code or words.code}
    error = CALLS[name].answered(status, message, wait=wait, **envelope)
    error.__cause__ = Answered(status, {"error": {"message": message, **envelope}}, headers)
    return error


def _wait(value: float | str, now: float) -> dict[str, str]:
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


class _Words(NamedTuple):
    message: str
    type: str
    code: str | None = None


_ENVELOPES = {
    400: _Words("The request was refused.", "invalid_request_error"),
    401: _Words(
        "Incorrect API key provided. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        "invalid_api_key",
    ),
    403: _Words(
        "You have insufficient permissions for this operation.", "invalid_request_error", None
    ),
    429: _Words(
        "Rate limit reached for requests. Please try again later.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: _Words(
        "The server had an error while processing your request. Sorry about that!", "server_error"
    ),
    503: _Words("The server is overloaded or not ready yet.", "server_error"),
}
"""What the envelope of an error says unless the fault does (the first four and 500: observed)."""

_TITLES = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
_TITLES |= {413: "Request Entity Too Large", 429: "Too Many Requests"}


class Disturbances:
    """What goes wrong with requests to `service`. May be used from any thread."""

    def __init__(self, service: Simulator, draws: Draws, faults: Faults) -> None:
        self._service = service
        self._draws = draws
        self._reached = Service(service.time, service.clock.sleep, service.later)
        self._everywhere = self._fates_of(faults)
        self._in_scenario: dict[str, Fates] = {}

    @property
    def can_fall(self) -> bool:
        """Whether there are any but those of scenarios that single batches live in."""
        return self._everywhere.can_fall

    def replace(self, faults: Faults) -> None:
        """Let these be the faults from now on. Requests are counted anew."""
        self._everywhere = self._fates_of(faults)
        self._in_scenario.clear()

    def request(
        self, name: str, subject: str, ask: Callable[[], Value], scenario: str | None = None
    ) -> Value:
        """Carry out the call of that name about `subject`, which `ask` does, as its fate has it."""
        return self.meet(self.fate(name, subject, scenario), name, ask)

    def fate(self, name: str, subject: object, scenario: str | None = None) -> RequestFault | None:
        """What hits this request, which is hereby counted; `scenario` is its batch's own, if known."""
        if not isinstance(subject, str):
            return None  # the service refuses it
        service = self._service
        scenario = scenario or service.scenario_about(subject)
        if scenario is None and not self.can_fall:
            return None
        now, kind_of_file = service.clock.now(), service.kind_of_file
        fault = self._everywhere.of(name, subject, now, kind_of_file)
        if scenario is None:
            return fault
        faults = scenario_of(scenario).faults
        own = self._in_scenario.setdefault(scenario, self._fates_of(faults))
        return own.of(name, subject, now, kind_of_file) or fault

    def meet(self, fault: RequestFault | None, name: str, ask: Callable[[], Value]) -> Value:
        """Carry out the call of that name, which `ask` does, as `fault` has it."""
        return ask() if fault is None else meet(fault, name, ask, self._reached)

    def _fates_of(self, faults: Faults) -> Fates:
        return Fates(faults.requests, self._draws, self._service.clock.now())
