"""Named behaviours of the service, each a change of its pacing, its faults and its order.

A scenario changes only what it is about, so any of them goes with any pacing and with any other.
Where its description does not say otherwise it was reported from the field; none of them breaks a
promise of the API reference but those that lose, double or invent lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from types import MappingProxyType

from batchsim.backends.fake.behaviour.checks import unknown
from batchsim.backends.fake.behaviour.scenarios.batches import BATCHES
from batchsim.backends.fake.behaviour.scenarios.lines import LINES
from batchsim.backends.fake.behaviour.scenarios.requests import REQUESTS
from batchsim.backends.fake.behaviour.scenarios.scenario import Scenario as Scenario
from batchsim.backends.fake.behaviour.scenarios.timing import TIMING
from batchsim.errors import UsageError

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {each.name: each for each in (*TIMING, *BATCHES, *LINES, *REQUESTS)}
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
