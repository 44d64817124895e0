"""The control API of the simulator, for tests in any language; no part of the OpenAI API.

    GET  /_batchsim/clock       {"now": 1767225600.0}
    POST /_batchsim/clock       {"advance": seconds} or {"advance_to": unix seconds}
    GET  /_batchsim/faults      the faults, by the names that `Faults` gives them
    PUT  /_batchsim/faults      set the named faults, and all others to none; lists of objects
                                under `requests`, `lines` and `batches` (see fault_files)
    POST /_batchsim/reset       forget all files, batches and faults, of every key
    GET  /_batchsim/snapshot    all files and batches, by the digest of their key
    GET  /_batchsim/verdict     the verdict on the client with the key of the request

It is there only when asked for, and only for clients on this machine.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

from batchsim.backends.fake import FakeBackend
from batchsim.backends.fake.behaviour import PlanError, plan_object, plan_of
from batchsim.backends.fake.service import Simulator
from batchsim.errors import BatchsimError, NotFound, Refused
from batchsim.server.fakes_by_key import FakesByKey
from batchsim.server.http import CONTROL_PATH
from batchsim.verdict import judge
from batchsim.wire import App, Request, Response
from batchsim.wire.access import authenticate
from batchsim.wire.http import parse, problem, render

END_OF_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z in unix seconds: the clock goes no further


class ControlApi:
    """The control API of `fakes`, in front of `app`, which answers everything else.

    Only `api_keys` may use it, or anyone on this machine when None.
    """

    def __init__(
        self, fakes: FakesByKey, app: App, api_keys: Collection[str] | None = None
    ) -> None:
        self._fakes = fakes
        self._app = app
        self._api_keys = api_keys
        self._controls: dict[tuple[str, str], Callable[[Request], dict[str, Any]]] = {
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._set_clock,
            ("GET", "faults"): self._faults,
            ("PUT", "faults"): self._set_faults,
            ("POST", "reset"): self._reset,
            ("GET", "snapshot"): self._snapshot,
            ("GET", "verdict"): self._verdict,
        }

    def handle(self, request: Request) -> Response:
        if not request.path.startswith(CONTROL_PATH):
            return self._app.handle(request)
        try:
            if self._api_keys is not None:
                authenticate(request, self._api_keys)
            return render.pretty(self._control(request))
        except BatchsimError as error:
            return problem.render(error)

    def _control(self, request: Request) -> dict[str, Any]:
        name = request.path.removeprefix(CONTROL_PATH)
        control = self._controls.get((request.method, name))
        if control is not None:
            return control(request)
        methods = [method for method, known in self._controls if known == name]
        if not methods:
            names = ", ".join(sorted({known for _, known in self._controls}))
            raise NotFound(f"There is no such control; there are {names}.", status=404)
        raise Refused(f"Use {' or '.join(methods)}.", status=405)

    def _clock(self, _: Request) -> dict[str, Any]:
        return {"now": self._fakes.clock.now()}

    def _set_clock(self, request: Request) -> dict[str, Any]:
        clock = self._fakes.clock
        changes = _numbers(request, ("advance", "advance_to"))
        if len(changes) != 1:
            raise Refused('Send {"advance": seconds} or {"advance_to": unix seconds}.')
        ((name, value),) = changes.items()
        if (clock.now() if name == "advance" else 0.0) + value > END_OF_TIME:
            raise Refused("The clock cannot be put beyond the year 9999.", param=name)
        try:
            (clock.advance if name == "advance" else clock.advance_to)(value)
        except ValueError as error:
            raise Refused(str(error), param=name) from None
        self._fakes.note_time()
        self._fakes.catch_up()
        return self._clock(request)

    def _faults(self, _: Request) -> dict[str, Any]:
        return plan_object(self._fakes.faults)

    def _set_faults(self, request: Request) -> dict[str, Any]:
        try:
            faults = plan_of(parse.json_object(request))
        except PlanError as error:
            message = ". ".join(filter(None, (error.message, error.hint)))
            raise Refused(message, param=error.key or None, code="invalid_value") from None
        self._fakes.set_faults(faults)
        return self._faults(request)

    def _reset(self, request: Request) -> dict[str, Any]:
        self._fakes.reset()
        return self._clock(request)

    def _snapshot(self, request: Request) -> dict[str, Any]:
        keys = {
            digest: _contents(backend.undisturbed)
            for digest, backend in self._fakes.backends().items()
        }
        return {**self._clock(request), "keys": keys}

    def _verdict(self, request: Request) -> dict[str, Any]:
        backend = self._fakes.tenants.backend(authenticate(request, self._api_keys))
        if not isinstance(backend, FakeBackend):
            raise NotFound("There is no client to judge.", status=404)
        return judge(backend.history()).to_object()


def _numbers(request: Request, known: Collection[str]) -> dict[str, float]:
    """Return the body's values that are not null: numbers of at least 0, under known names."""
    values = parse.json_object(request)
    for name, value in values.items():
        if name not in known:
            raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise Refused(f"'{name}' is a number of at least 0.", param=name, code="invalid_value")
    return {name: value for name, value in values.items() if value is not None}


def _contents(service: Simulator) -> dict[str, Any]:
    return {
        "files": [file.to_object() for file in reversed(service.all_files())],
        "batches": [batch.to_object() for batch in reversed(service.all_batches())],
    }
