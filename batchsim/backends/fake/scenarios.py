"""Named behaviours of the service, each a change of its pacing, its faults and its order.

A scenario changes only what it is about, so any of them goes with any pacing and with any other.
Where its description does not say otherwise it was reported from the field; none of them breaks a
promise of the API reference but those that lose, double or invent lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType
from typing import Literal

from batchsim.backends.fake.faults import NO_FAULTS, Faults
from batchsim.backends.fake.line_faults import LineFault
from batchsim.backends.fake.pacing import Pacing
from batchsim.backends.fake.request_faults import RequestFault
from batchsim.backends.fake.rules import unknown
from batchsim.domain.limits import DAY, HOUR
from batchsim.errors import UsageError


@dataclass(frozen=True, slots=True)
class Scenario:
    """A behaviour with a name. `durations` replace those fields of a Pacing, in seconds.

    `order` is that of the results, None for the one that was asked for. `a + b` is both at once;
    where both are about the same, b's counts.
    """

    name: str
    description: str
    durations: Mapping[str, float] = field(default_factory=dict)
    faults: Faults = NO_FAULTS
    order: Literal["shuffled", "input"] | None = None

    def __add__(self, other: Scenario) -> Scenario:
        return Scenario(
            f"{self.name},{other.name}",
            f"{self.description}; {other.description}",
            {**self.durations, **other.durations},
            self.faults + other.faults,
            other.order or self.order,
        )

    def paced(self, pacing: Pacing) -> Pacing:
        """`pacing` as it is in this scenario."""
        return replace(pacing, **dict(self.durations))


def _lines(fault: str, share: float, *, status: int | None = None) -> Faults:
    some = LineFault(fault, share=share, status=status)
    return Faults(lines=(replace(some, line=1, batch=1, share=1.0), some))


def _first(fault: str, call: str, *, file: str | None = None, status: int | None = None) -> Faults:
    html = status is not None
    return Faults(
        requests=(RequestFault(fault, call=call, file=file, nth=1, status=status, html=html),)
    )


def _often(*faults: RequestFault, surely: str) -> Faults:
    """Faults that hit a share of the requests, and the first of them the first call of one kind."""
    first = replace(faults[0], call=surely, nth=1, share=1.0)
    return Faults(requests=(first, *faults))


_HALF_A_WINDOW = {"running": 2.0 * DAY, "running_per_line": 0.0}

_ON_TIME = (
    Scenario("completed", "nothing unusual happens"),
    Scenario("input_order", "results stand in input order, as in practice", order="input"),
    Scenario("slow", "lines take eight hours", {"running": DAY / 3}),
    Scenario("slow_validating", "validation takes a quarter of an hour", {"validating": HOUR / 4}),
    Scenario(
        "slow_cancelling", "cancelling takes ten minutes, at any pacing", {"cancelling": 605.0}
    ),
    Scenario("stuck_validating", "validation never ends", {"validating": math.inf}),
    Scenario(
        "stuck_in_progress",
        "no line is ever run, and the window closes late by ten days",
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
        "the window closes half an hour late, with about half the lines run",
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
    Scenario(
        "file_race",
        "a file cannot be found by who creates a batch within a second of its upload",
        faults=Faults(file_unknown_for=1.0),
    ),
    Scenario(
        "unseen_file",
        "a file is not found within five seconds of its creation",
        faults=Faults(file_unseen_for=5.0),
    ),
    Scenario(
        "pending_file",
        "a file is `uploaded` for ten seconds before it is `processed`",
        faults=Faults(file_pending_for=10.0),
    ),
    Scenario(
        "failed_validation",
        "every batch fails: line 1 is found not to be JSON",
        faults=Faults(failed_validation=1.0),
    ),
    Scenario(
        "incident",
        "half of the batches fail with an existing file not found",
        faults=Faults(incident=0.5),
    ),
    Scenario(
        "token_limit",
        "the first batch fails with token_limit_exceeded",
        faults=Faults(full_queue_batches=1),
    ),
    Scenario(
        "tokens_held",
        "the tokens of an ended batch stay in the queue for ten minutes",
        faults=Faults(tokens_held_for=600.0),
    ),
    Scenario(
        "forgotten",
        "a batch is not found any more an hour after its end",
        faults=Faults(forgotten_after=float(HOUR)),
    ),
    Scenario(
        "webhooks_twice",
        "every webhook event is delivered twice",
        faults=Faults(webhooks_twice=True),
    ),
    Scenario(
        "clock_skew",
        "the service's clock is five minutes ahead (feared)",
        faults=Faults(clock_ahead_by=300.0),
    ),
)

_LINES = (
    Scenario(
        "some_failed", "line 1 and a fifth of the others fail with 500", faults=_lines("error", 0.2)
    ),
    Scenario("all_failed", "every line fails with 500", faults=_lines("error", 1.0)),
    Scenario(
        "not_found_lines",
        "line 1 and a fifth of the others fail with 404, though the model exists",
        faults=_lines("error", 0.2, status=404),
    ),
    Scenario(
        "timed_out_lines",
        "line 1 and a fifth of the others fail with 504",
        faults=_lines("error", 0.2, status=504),
    ),
    Scenario(
        "unanswered_lines",
        "line 1 and a fifth of the others have no response and the error request_timeout",
        faults=_lines("timed_out", 0.2),
    ),
    Scenario(
        "refusals",
        "the model declines line 1 and a fifth of the others",
        faults=_lines("refusal", 0.2),
    ),
    Scenario(
        "incomplete_answers",
        "the first answer and a fifth of the others stop in the middle",
        faults=_lines("incomplete", 0.2),
    ),
    Scenario(
        "quota_exhausted",
        "the account is empty after two lines of each batch",
        faults=Faults(quota_after=2),
    ),
    Scenario(
        "missing_lines",
        "line 1 and a fifth of the other good ones are missing from the output file",
        faults=_lines("missing", 0.2),
    ),
    Scenario(
        "duplicate_lines",
        "line 1 and a fifth of the other good ones are in the output file twice",
        faults=_lines("doubled", 0.2),
    ),
    Scenario(
        "blank_lines",
        "line 1 and a fifth of the other good ones have status code 0 and no body",
        faults=_lines("blank", 0.2),
    ),
    Scenario(
        "foreign_lines",
        "the output file has lines that nobody asked for (feared)",
        faults=_lines("foreign", 0.2),
    ),
)

_RESULTS = (
    Scenario(
        "late_output_file",
        "an ended batch names its files half a minute late",
        faults=Faults(result_ids_late_by=30.0),
    ),
    Scenario(
        "output_expired",
        "result files are gone as soon as they are there",
        faults=Faults(results_live_for=0.0),
    ),
    Scenario(
        "truncated_download",
        "the first reading of an output file ends half-way",
        faults=_first("truncated", "read_file", file="output"),
    ),
)

_REQUESTS = (
    Scenario(
        "rate_limited",
        "the first creation and a third of all requests get 429 with Retry-After: 20",
        faults=_often(
            RequestFault("error", share=1 / 3, status=429, retry_after=20), surely="create_batch"
        ),
    ),
    Scenario(
        "flaky_server",
        "the first look at a batch and a fifth of all requests get 500, and a tenth a reset connection",
        faults=_often(
            RequestFault("error", share=0.2, status=500),
            RequestFault("reset", share=0.1),
            surely="retrieve_batch",
        ),
    ),
    Scenario(
        "html_errors",
        "the first look at a batch and a fifth of all requests get 502 and a web page",
        faults=_often(
            RequestFault("error", share=0.2, status=502, html=True), surely="retrieve_batch"
        ),
    ),
    Scenario(
        "garbled_answers",
        "the first look at a batch and a fifth of all reads get a web page with status 200",
        faults=_often(RequestFault("garbled", call="read", share=0.2), surely="retrieve_batch"),
    ),
    Scenario(
        "slow_answers",
        "the first look at a batch and a fifth of all requests are answered half a minute late",
        faults=_often(RequestFault("delayed", share=0.2, seconds=30.0), surely="retrieve_batch"),
    ),
    Scenario(
        "outage",
        "every request gets 503 from one minute after the start until eleven",
        faults=Faults(requests=(RequestFault("error", status=503, since=60.0, until=660.0),)),
    ),
    Scenario(
        "upload_refused",
        "the first upload gets 413 and a web page, from what stands before the API",
        faults=_first("error", "upload_file", status=413),
    ),
    Scenario(
        "upload_lost",
        "the first upload is stored, but its sender gets no answer",
        faults=_first("reply_lost", "upload_file"),
    ),
    Scenario(
        "reply_lost",
        "the first batch is created, but its creator gets no answer",
        faults=_first("reply_lost", "create_batch"),
    ),
    Scenario(
        "error_after_effect",
        "the first batch is created, but its creator gets a 500",
        faults=_first("error_after_effect", "create_batch"),
    ),
    Scenario(
        "late_create",
        "the first creation gets no answer, and takes effect a minute later",
        faults=_first("late", "create_batch"),
    ),
    Scenario(
        "duplicate_create",
        "the first creation makes two batches, and one is answered",
        faults=_first("duplicated", "create_batch"),
    ),
    Scenario(
        "stale_list",
        "a batch is in the list only a minute after its creation (feared)",
        faults=Faults(stale_list_for=60.0),
    ),
    Scenario(
        "unsorted_list",
        "batches are listed in no order (feared)",
        faults=Faults(unsorted_list=True),
    ),
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {each.name: each for each in (*_ON_TIME, *_BATCHES, *_LINES, *_RESULTS, *_REQUESTS)}
)
"""The scenarios by name."""


def scenario_of(choice: Scenario | str) -> Scenario:
    """The scenario itself, the one of that name, or several whose names have commas between them.

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
