"""Scenarios: named behaviours of the service. Each changes its pacing, its faults or its order.

A scenario changes only its own subject, so it goes with any pacing and any other scenario. Unless
its description says otherwise, it was reported from the field. None of them breaks a promise of the
API reference, except those that lose, double or invent lines.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType
from typing import Any, Literal

from batchsim.backends.fake.behaviour.checks import unknown
from batchsim.backends.fake.behaviour.faults import NO_FAULTS, Faults
from batchsim.backends.fake.behaviour.line_faults import LineFault
from batchsim.backends.fake.behaviour.pacing import Pacing
from batchsim.backends.fake.behaviour.request_faults import RequestFault
from batchsim.domain.limits import DAY, HOUR
from batchsim.errors import UsageError


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named behaviour. `durations` replace those fields of a Pacing, in seconds.

    `order` is the order of the results, None for the one that was asked for. `a + b` is both at
    once; where both set a value, b's counts.
    """

    name: str
    description: str
    durations: Mapping[str, float] = field(default_factory=dict)
    faults: Faults = NO_FAULTS
    order: Literal["shuffled", "input"] | None = None

    def __add__(self, other: "Scenario") -> "Scenario":
        return Scenario(
            f"{self.name},{other.name}",
            f"{self.description}; {other.description}",
            {**self.durations, **other.durations},
            self.faults + other.faults,
            other.order or self.order,
        )

    def paced(self, pacing: Pacing) -> Pacing:
        return replace(pacing, **dict(self.durations))


def scenario_of(choice: Scenario | str) -> Scenario:
    """The scenario itself, the one of that name, or the sum of several names separated by commas.

    Raises UsageError for other names.
    """
    if isinstance(choice, Scenario):
        return choice
    if not isinstance(choice, str):
        raise UsageError(f"a scenario cannot be {choice!r}", hint="name one, or several: 'a,b'")
    return reduce(Scenario.__add__, (_named(name.strip()) for name in choice.split(",")))


def _named(name: str) -> Scenario:
    try:
        return SCENARIOS[name]
    except KeyError:
        raise unknown("scenario", name, SCENARIOS) from None


def _faulty(name: str, description: str, **faults: Any) -> Scenario:
    return Scenario(name, description, faults=Faults(**faults))


def _lines(
    name: str, description: str, fault: str, *, share: float = 0.2, **parameters: int
) -> Scenario:
    """A fault that hits line 1 of the first batch, and a share of all lines."""
    some = LineFault(fault, share=share, **parameters)  # type: ignore[arg-type]
    return _faulty(name, description, lines=(replace(some, line=1, batch=1, share=1.0), some))


def _first(name: str, description: str, fault: str, call: str, **parameters: Any) -> Scenario:
    """A fault that hits the first call of one kind."""
    return _faulty(name, description, requests=(RequestFault(fault, call, nth=1, **parameters),))


def _often(name: str, description: str, *faults: RequestFault, first: str) -> Scenario:
    """Faults that hit a share of the requests. The first fault also hits the first call `first`."""
    surely = replace(faults[0], call=first, nth=1, share=1.0)
    return _faulty(name, description, requests=(surely, *faults))


_HALF_A_WINDOW = {"running": 2.0 * DAY, "running_per_line": 0.0}

_TIMING = (
    Scenario("completed", "nothing unusual happens"),
    Scenario("input_order", "results are in input order, as in practice", order="input"),
    Scenario("slow", "lines take eight hours", {"running": DAY / 3}),
    Scenario("slow_validating", "validation takes a quarter of an hour", {"validating": HOUR / 4}),
    Scenario(
        "slow_cancelling", "cancelling takes ten minutes, at any pacing", {"cancelling": 605.0}
    ),
    Scenario("stuck_validating", "validation never ends", {"validating": math.inf}),
    Scenario(
        "stuck_in_progress",
        "no line ever runs, and the window closes ten days late",
        {"running": math.inf, "expiry_delay": 10.0 * DAY},
    ),
    Scenario("stuck_finalizing", "results are never written", {"finalizing": math.inf}),
    Scenario(
        "expired_partial",
        "about half the lines have run when the window closes",
        {**_HALF_A_WINDOW, "spread": 0.0},
    ),
    Scenario("expired_empty", "the window closes before any line has run", {"running": math.inf}),
    Scenario(
        "late_expiry",
        "the window closes half an hour late, when about half the lines have run",
        {**_HALF_A_WINDOW, "expiry_delay": 1_800.0},
    ),
    Scenario(
        "cancelled_partial",
        "somebody else cancels each batch after half of its lines",
        {"running": float(HOUR)},
        Faults(cancelled_midway=1.0),
    ),
)

_BATCHES = (
    _faulty(
        "file_race",
        "a file is not found when a batch is created within a second of its upload",
        file_unknown_for=1.0,
    ),
    _faulty(
        "unseen_file",
        "a file is not found within five seconds of its creation",
        file_unseen_for=5.0,
    ),
    _faulty(
        "pending_file",
        "a file is `uploaded` for ten seconds before it is `processed`",
        file_pending_for=10.0,
    ),
    _faulty(
        "failed_validation", "every batch fails because line 1 is not JSON", failed_validation=1.0
    ),
    _faulty(
        "incident", "half of the batches fail because an existing file is not found", incident=0.5
    ),
    _faulty("token_limit", "the first batch fails with token_limit_exceeded", full_queue_batches=1),
    _faulty(
        "tokens_held",
        "the tokens of an ended batch stay in the queue for ten minutes",
        tokens_held_for=600.0,
    ),
    _faulty(
        "forgotten", "a batch is no longer found an hour after its end", forgotten_after=float(HOUR)
    ),
    _faulty("webhooks_twice", "every webhook event is delivered twice", webhooks_twice=True),
    _faulty(
        "clock_skew", "the service's clock is five minutes ahead (feared)", clock_ahead_by=300.0
    ),
)

_LINES = (
    _lines("some_failed", "line 1 and a fifth of the others fail with 500", "error"),
    _lines("all_failed", "every line fails with 500", "error", share=1.0),
    _lines(
        "not_found_lines",
        "line 1 and a fifth of the others fail with 404, though the model exists",
        "error",
        status=404,
    ),
    _lines(
        "timed_out_lines", "line 1 and a fifth of the others fail with 504", "error", status=504
    ),
    _lines(
        "unanswered_lines",
        "line 1 and a fifth of the others have no response and the error request_timeout",
        "timed_out",
    ),
    _lines("refusals", "the model declines line 1 and a fifth of the others", "refusal"),
    _lines(
        "incomplete_answers",
        "the first answer and a fifth of the others stop in the middle",
        "incomplete",
    ),
    _faulty("quota_exhausted", "the account is empty after two lines of each batch", quota_after=2),
    _lines(
        "missing_lines",
        "line 1 and a fifth of the other good ones are missing from the output file",
        "missing",
    ),
    _lines(
        "duplicate_lines",
        "line 1 and a fifth of the other good ones are in the output file twice",
        "doubled",
    ),
    _lines(
        "blank_lines",
        "line 1 and a fifth of the other good ones have status code 0 and no body",
        "blank",
    ),
    _lines("foreign_lines", "the output file has lines that nobody asked for (feared)", "foreign"),
    _faulty(
        "late_output_file",
        "an ended batch names its files half a minute late",
        result_ids_late_by=30.0,
    ),
    _faulty(
        "output_expired", "result files are deleted as soon as they exist", results_live_for=0.0
    ),
)

_REQUESTS = (
    _first(
        "truncated_download",
        "the first download of an output file ends half-way",
        *("truncated", "read_file"),
        file="output",
    ),
    _often(
        "rate_limited",
        "the first creation and a third of all requests get 429 with Retry-After: 20",
        RequestFault("error", share=1 / 3, status=429, retry_after=20),
        first="create_batch",
    ),
    _often(
        "flaky_server",
        "the first poll of a batch and a fifth of all requests get 500, and a tenth are reset",
        RequestFault("error", share=0.2, status=500),
        RequestFault("reset", share=0.1),
        first="retrieve_batch",
    ),
    _often(
        "html_errors",
        "the first poll of a batch and a fifth of all requests get 502 and a web page",
        RequestFault("error", share=0.2, status=502, html=True),
        first="retrieve_batch",
    ),
    _often(
        "garbled_answers",
        "the first poll of a batch and a fifth of all reads get a web page with status 200",
        RequestFault("garbled", call="read", share=0.2),
        first="retrieve_batch",
    ),
    _often(
        "slow_answers",
        "the first poll of a batch and a fifth of all requests are answered half a minute late",
        RequestFault("delayed", share=0.2, seconds=30.0),
        first="retrieve_batch",
    ),
    _faulty(
        "outage",
        "every request gets 503 from the first minute to the eleventh",
        requests=(RequestFault("error", status=503, since=60.0, until=660.0),),
    ),
    _first(
        "upload_refused",
        "the first upload gets 413 and a web page, from the proxy before the API",
        *("error", "upload_file"),
        status=413,
        html=True,
    ),
    _first(
        "upload_lost",
        "the first upload is stored, but its sender gets no reply",
        *("reply_lost", "upload_file"),
    ),
    _first(
        "reply_lost",
        "the first batch is created, but its creator gets no reply",
        *("reply_lost", "create_batch"),
    ),
    _first(
        "error_after_effect",
        "the first batch is created, but its creator gets a 500",
        *("error_after_effect", "create_batch"),
    ),
    _first(
        "late_create",
        "the first creation gets no reply, and takes effect a minute later",
        *("late", "create_batch"),
    ),
    _first(
        "duplicate_create",
        "the first creation makes two batches, and one reply comes",
        *("duplicated", "create_batch"),
    ),
    _faulty(
        "stale_list",
        "a batch is in the list only a minute after its creation (feared)",
        stale_list_for=60.0,
    ),
    _faulty("unsorted_list", "batches are listed in no order (feared)", unsorted_list=True),
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {each.name: each for each in (*_TIMING, *_BATCHES, *_LINES, *_REQUESTS)}
)
