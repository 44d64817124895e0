"""What ends a batch's present status, and when: a function of its record and of nothing that moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from batchsim.backends.fake.faults import Faults
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.pacing import Pacing
from batchsim.backends.fake.records import BatchRecord
from batchsim.backends.fake.scenarios import Scenario, scenario_of
from batchsim.domain.lifecycle import Event, Status
from batchsim.domain.limits import Limits
from batchsim.errors import Refused, UsageError
from batchsim.responders import Responder


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """All that decides how batches go, besides their inputs."""

    draws: Draws
    pacing: Pacing
    faults: Faults
    limits: Limits
    respond: Responder
    may_ask_early: bool
    """Whether `respond` may be asked about lines before they finish: nobody can tell, and it is quicker."""
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

    def of(self, record: BatchRecord) -> Behaviour:
        """How that batch goes: in the scenarios that a plan of faults, or its metadata, name."""
        behaviour = self
        for fault in self.faults.batches:
            if fault.hits(record.number, self.draws):
                behaviour = behaviour.in_scenario(scenario_of(fault.scenario))
        own = own_scenario(record.batch.metadata)
        return behaviour if own is None else behaviour.in_scenario(scenario_of(own))


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


def check_batch_faults(faults: Faults) -> None:
    """Raise UsageError when batches shall live in a scenario that there is not."""
    for each in faults.batches:
        scenario_of(each.scenario)


def next_event(record: BatchRecord, behaviour: Behaviour) -> tuple[Event, float]:
    """What ends the batch's present status, and when (infinity: nothing does).

    For a validating batch the event is ACCEPTED, even if its input will turn out to be bad.
    """
    pacing, batch = behaviour.pacing, record.batch
    if batch.status.is_terminal:
        return Event.WRITTEN, math.inf
    chance = behaviour.draws.share(f"time {batch.status}", record.number)
    if (cancelled := _cancelled_by_others(record, behaviour)) is not None:
        return Event.CANCEL_REQUESTED, cancelled
    end = record.since + pacing.seconds(batch.status, batch.request_counts.total, chance)
    if batch.status is Status.CANCELLING:
        return Event.CANCEL_FINISHED, end
    if batch.status is Status.FINALIZING:
        whole = record.ran == batch.request_counts.total
        return Event.WRITTEN if whole else Event.PARTLY_WRITTEN, end
    closing = closing_time(record, behaviour)
    if end > closing:
        return Event.WINDOW_CLOSED, closing
    return Event.ACCEPTED if batch.status is Status.VALIDATING else Event.EXECUTED, end


def closing_time(record: BatchRecord, behaviour: Behaviour) -> float:
    """When the window of a batch closes."""
    return (record.batch.expires_at or 0) + behaviour.pacing.expiry_delay


def _cancelled_by_others(record: BatchRecord, behaviour: Behaviour) -> float | None:
    share = behaviour.faults.cancelled_midway
    if not share or record.batch.status is not Status.IN_PROGRESS:
        return None
    if behaviour.draws.share("cancelled midway", record.number) >= share:
        return None
    lines = record.batch.request_counts.total
    return record.since + running_time(record.number, lines, behaviour) / 2


def running_time(number: int, lines: int, behaviour: Behaviour) -> float:
    """How many seconds the batch of that number takes to run its lines."""
    chance = behaviour.draws.share(f"time {Status.IN_PROGRESS}", number)
    return behaviour.pacing.seconds(Status.IN_PROGRESS, lines, chance)
