"""Named behaviours of the service, each a change of its pacing and its faults.

A scenario changes only what it is about, so any of them goes with any pacing. All were observed in
the field unless marked; none of them breaks a promise of the API reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType

from batchsim.backends.fake.faults import NO_FAULTS, Faults
from batchsim.backends.fake.pacing import Pacing
from batchsim.backends.fake.request_faults import RequestFault
from batchsim.domain.limits import DAY
from batchsim.errors import UsageError


@dataclass(frozen=True, slots=True)
class Scenario:
    """A behaviour with a name. `durations` replace those fields of a Pacing, in seconds."""

    name: str
    description: str
    durations: Mapping[str, float] = field(default_factory=dict)
    faults: Faults = NO_FAULTS

    def __add__(self, other: Scenario) -> Scenario:
        """Both at once; where both are about the same, the other's counts."""
        return Scenario(
            f"{self.name},{other.name}",
            f"{self.description}; {other.description}",
            {**self.durations, **other.durations},
            self.faults + other.faults,
        )

    def paced(self, pacing: Pacing) -> Pacing:
        """`pacing` as it is in this scenario."""
        return replace(pacing, **dict(self.durations))


def _first_create(fault: str) -> Faults:
    return Faults(requests=(RequestFault(fault, call="create_batch", nth=1),))


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("completed", "nothing unusual happens"),
            Scenario("slow", "lines take eight hours", {"running": DAY / 3}),
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
                {"running": 2.0 * DAY, "running_per_line": 0.0, "spread": 0.0},
            ),
            Scenario(
                "expired_empty", "the window closes before any line has run", {"running": math.inf}
            ),
            Scenario(
                "late_expiry",
                "the window closes half an hour late, with about half the lines run",
                {"running": 2.0 * DAY, "running_per_line": 0.0, "expiry_delay": 1_800.0},
            ),
            Scenario(
                "file_race",
                "a file cannot be found for a second after its upload",
                faults=Faults(file_unknown_for=1.0),
            ),
            Scenario(
                "incident",
                "half of the batches fail with an existing file not found",
                faults=Faults(incident=0.5),
            ),
            Scenario(
                "quota_exhausted",
                "the account is empty after two lines of each batch",
                faults=Faults(quota_after=2),
            ),
            Scenario(
                "late_output_file",
                "an ended batch names its files half a minute late",
                faults=Faults(result_ids_late_by=30.0),
            ),
            Scenario(
                "missing_lines",
                "a fifth of the good lines is missing from the output file",
                faults=Faults(lost_lines=0.2),
            ),
            Scenario(
                "duplicate_lines",
                "a fifth of the good lines is in the output file twice",
                faults=Faults(doubled_lines=0.2),
            ),
            Scenario(
                "blank_lines",
                "a fifth of the good lines has status code 0 and no body",
                faults=Faults(blank_lines=0.2),
            ),
            Scenario(
                "reply_lost",
                "the first batch is created, but its creator gets no answer",
                faults=_first_create("reply_lost"),
            ),
            Scenario(
                "error_after_effect",
                "the first batch is created, but its creator gets a 500",
                faults=_first_create("error_after_effect"),
            ),
            Scenario(
                "late_create",
                "the first creation gets no answer, and takes effect a minute later",
                faults=_first_create("late"),
            ),
            Scenario(
                "duplicate_create",
                "the first creation makes two batches, and one is answered",
                faults=_first_create("duplicated"),
            ),
            Scenario(
                "stale_list",
                "a batch is in the list only a minute after its creation",
                faults=Faults(stale_list_for=60.0),
            ),
            Scenario(
                "unsorted_list",
                "batches are listed in no order",
                faults=Faults(unsorted_list=True),
            ),
        )
    }
)
"""The scenarios by name."""


def scenario_of(choice: Scenario | str) -> Scenario:
    """The scenario itself, the one of that name, or several whose names have commas between them.

    Raises UsageError for other names.
    """
    if isinstance(choice, Scenario):
        return choice
    return reduce(Scenario.__add__, (_named(name.strip()) for name in choice.split(",")))


def _named(name: str) -> Scenario:
    try:
        return SCENARIOS[name]
    except KeyError:
        names = ", ".join(SCENARIOS)
        raise UsageError(
            f"there is no scenario called {name!r}", hint=f"choose one of {names}"
        ) from None
