"""The requests of a backend, each meeting its fate on its way to the service.

Theory of operation. A request is looked up among the faults of the whole service, and among those of
the scenario that its batch lives in, if it has one of its own. Each plan counts the requests that it
has seen since it came into force (see fates).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from batchsim.backends.fake.fates import Fates, Service, meet
from batchsim.backends.fake.faults import Faults
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.request_faults import RequestFault
from batchsim.backends.fake.scenarios import scenario_of
from batchsim.backends.fake.simulator import Simulator

Value = TypeVar("Value")


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
