"""Settings of the simulated service: its pacing, faults and limits, and the responder."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from batchsim.backends.constructor_checks import check_is
from batchsim.backends.fake.behaviour import Faults, Pacing, Scenario, scenario_of
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.store import BatchRecord
from batchsim.domain.limits import Limits
from batchsim.errors import Refused, UsageError
from batchsim.responders import ManyResponder, Responder

SCENARIO_KEY = "batchsim.scenario"  # the metadata key of a batch that names a scenario for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that decides how batches go, except their inputs."""

    draws: Draws
    pacing: Pacing
    faults: Faults
    limits: Limits
    respond: Responder
    respond_many: ManyResponder | None
    """Answers like `respond`, but many lines at once and before they finish, which is faster. None
    where the responder can notice that."""
    supports: Callable[[str], bool]
    shuffled: bool
    organization: str
    project: str

    def in_scenario(self, scenario: Scenario) -> Self:
        return replace(
            self,
            pacing=scenario.paced(self.pacing),
            faults=self.faults + scenario.faults,
            shuffled=self.shuffled if scenario.order is None else scenario.order == "shuffled",
        )

    def scenarios_of(self, record: BatchRecord) -> Iterator[str]:
        """Yield the scenarios that a fault plan or its metadata name for a batch."""
        for fault in self.faults.batches:
            if fault.hits(record.number, self.draws):
                yield fault.scenario
        own = own_scenario(record.batch.metadata)
        if own is not None:
            yield own

    def of(self, record: BatchRecord) -> Self:
        settings = self
        for name in self.scenarios_of(record):
            settings = settings.in_scenario(scenario_of(name))
        return settings


class CurrentSettings:
    """The settings in force. Their faults may change at any time."""

    def __init__(self, settings: Settings) -> None:
        self.everywhere = settings  # the settings of the whole service

    @property
    def faults(self) -> Faults:
        return self.everywhere.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.everywhere = replace(self.everywhere, faults=faults)

    def of(self, record: BatchRecord) -> Settings:
        return self.everywhere if self._is_plain(record) else self.everywhere.of(record)

    def scenario_of(self, record: BatchRecord) -> str | None:
        """Return the names of a batch's own scenarios, None without any."""
        if self._is_plain(record):
            return None
        return ",".join(self.everywhere.scenarios_of(record)) or None

    def _is_plain(self, record: BatchRecord) -> bool:
        # Nearly every batch is, at every look.
        return not record.batch.metadata and not self.everywhere.faults.batches


def own_scenario(metadata: Mapping[str, str] | None) -> str | None:
    named = metadata.get(SCENARIO_KEY) if isinstance(metadata, Mapping) else None
    return named if isinstance(named, str) else None


def check_own_scenario(metadata: Mapping[str, str] | None) -> None:
    own = own_scenario(metadata)
    try:
        scenario_of("completed" if own is None else own)
    except UsageError as error:
        param = f"metadata.{SCENARIO_KEY}"
        raise Refused(f"Invalid value: {error.message}; {error.hint}.", param=param) from None


def check_faults(faults: Faults) -> None:
    """Raise UsageError unless `faults` is a Faults whose scenarios exist."""
    check_is("faults", faults, Faults, "give a Faults, such as Faults(stale_list_for=60)")
    for each in faults.batches:
        scenario_of(each.scenario)
