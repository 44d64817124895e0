"""How the service goes about its batches: its pacing, its faults, its limits, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from batchsim.backends.constructor_checks import check_is
from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.behaviour.pacing import Pacing
from batchsim.backends.fake.behaviour.scenarios import Scenario, scenario_of
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.store.records import BatchRecord
from batchsim.domain.limits import Limits
from batchsim.errors import Refused, UsageError
from batchsim.responders import Responder, Together


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """All that decides how batches go, besides their inputs."""

    draws: Draws
    pacing: Pacing
    faults: Faults
    limits: Limits
    respond: Responder
    together: Together | None
    """Answers as `respond` does, many lines at once, and before they finish, which is quicker; None
    where that can be told."""
    supports: Callable[[str], bool]
    shuffled: bool
    organization: str
    project: str

    def in_scenario(self, scenario: Scenario) -> Behaviour:
        """The same, as far as that scenario does not change it."""
        return replace(
            self,
            pacing=scenario.paced(self.pacing),
            faults=self.faults + scenario.faults,
            shuffled=self.shuffled if scenario.order is None else scenario.order == "shuffled",
        )

    def scenarios_of(self, record: BatchRecord) -> Iterator[str]:
        """The scenarios that a batch lives in besides: a plan of faults, or its metadata, name them."""
        for fault in self.faults.batches:
            if fault.hits(record.number, self.draws):
                yield fault.scenario
        own = own_scenario(record.batch.metadata)
        if own is not None:
            yield own

    def of(self, record: BatchRecord) -> Behaviour:
        """How that batch goes, in the scenarios of its own."""
        behaviour = self
        for name in self.scenarios_of(record):
            behaviour = behaviour.in_scenario(scenario_of(name))
        return behaviour


class CurrentBehaviour:
    """The behaviour that holds at present; its faults may change under way."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.everywhere = behaviour
        """The behaviour of the service as a whole."""

    @property
    def faults(self) -> Faults:
        """What can go wrong in the service as a whole."""
        return self.everywhere.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.everywhere = replace(self.everywhere, faults=faults)

    def of(self, record: BatchRecord) -> Behaviour:
        """How that batch goes."""
        return self.everywhere if self._is_plain(record) else self.everywhere.of(record)

    def scenario_of(self, record: BatchRecord) -> str | None:
        """The names of the scenarios that a batch lives in besides, None without any."""
        if self._is_plain(record):
            return None
        return ",".join(self.everywhere.scenarios_of(record)) or None

    def _is_plain(self, record: BatchRecord) -> bool:
        """Whether a batch is sure to go as all do, as nearly every one is at every look."""
        return not record.batch.metadata and not self.everywhere.faults.batches


SCENARIO_KEY = "batchsim.scenario"
"""The metadata of a batch that names the scenario that it lives in."""


def own_scenario(metadata: Mapping[str, str] | None) -> str | None:
    """The scenario that a batch's metadata name."""
    named = metadata.get(SCENARIO_KEY) if isinstance(metadata, Mapping) else None
    return named if isinstance(named, str) else None


def check_own_scenario(metadata: Mapping[str, str] | None) -> None:
    """Refuse metadata that name a scenario that there is not."""
    own = own_scenario(metadata)
    try:
        scenario_of("completed" if own is None else own)
    except UsageError as error:
        param = f"metadata.{SCENARIO_KEY}"
        raise Refused(f"Invalid value: {error.message}; {error.hint}.", param=param) from None


def check_faults(faults: Faults) -> None:
    """Raise UsageError for what is no Faults, and when batches shall live in an unknown scenario."""
    check_is("faults", faults, Faults, "give a Faults, such as Faults(stale_list_for=60)")
    for each in faults.batches:
        scenario_of(each.scenario)
