"""A scenario: a behaviour of the service with a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from batchsim.backends.fake.behaviour.faults import NO_FAULTS, Faults
from batchsim.backends.fake.behaviour.pacing import Pacing


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
