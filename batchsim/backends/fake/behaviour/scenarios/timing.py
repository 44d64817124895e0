"""The scenarios of when things happen: slow, stuck, expired and cancelled batches."""

from __future__ import annotations

import math

from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.behaviour.scenarios.scenario import Scenario
from batchsim.domain.limits import DAY, HOUR

_HALF_A_WINDOW = {"running": 2.0 * DAY, "running_per_line": 0.0}

TIMING = (
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
