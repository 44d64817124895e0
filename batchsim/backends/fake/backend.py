"""FakeBackend: the simulated service, reached by requests that can go wrong.

Theory of operation. Every method is one request. It is logged, the fault that hits it is looked up
(see fault_injection), and then the service, a Simulator, carries it out, or not, or twice, or
later. Without faults a method is the Simulator's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Concatenate, Literal, ParamSpec, TypeVar

from batchsim.backends import Reception
from batchsim.backends.constructor_checks import check_service
from batchsim.backends.fake import log
from batchsim.backends.fake.behaviour import (
    NO_FAULTS,
    Faults,
    Pacing,
    Scenario,
    pacing_of,
    scenario_of,
)
from batchsim.backends.fake.clients import Clients
from batchsim.backends.fake.execution import (
    Settings,
    check_faults,
    check_own_scenario,
    own_scenario,
)
from batchsim.backends.fake.fault_injection import READ_AGAIN, FaultInjector, cut_off
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.service import Simulator
from batchsim.clock import Clock
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.files import File
from batchsim.domain.limits import OPENAI, Limits
from batchsim.responders import Responder
from batchsim.responders.simulated import simulated, simulated_many
from batchsim.stores import Store
from batchsim.stores.memory import MemoryStore
from batchsim.stores.spool import reread

if TYPE_CHECKING:
    from batchsim.responders.scripted import Source

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


def _request(
    method: Callable[Concatenate[Simulator, Parameters], Value], about: str
) -> Callable[Concatenate[FakeBackend, Parameters], Value]:
    """Make a method of FakeBackend from one of Simulator; `about` names its subject."""
    name = method.__name__

    @functools.wraps(method)
    def call(
        self: FakeBackend, /, *arguments: Parameters.args, **options: Parameters.kwargs
    ) -> Value:
        def work() -> Value:
            metadata: Any = options.get("metadata")
            scenario = None
            if metadata is not None:
                check_own_scenario(metadata)
                scenario = own_scenario(metadata)
            subject = arguments[0] if arguments else options.get(about) or ""
            ask = partial(method, self.undisturbed, *arguments, **options)
            return self._faults.call(name, subject, ask, scenario)

        return log.log_request(self, name, work, *arguments, **options)

    return call


class FakeBackend(Clients):
    """The OpenAI Batch API, simulated in the process: deterministic, free, and as fast as you like.

    - `seed`: what all chance depends on. Same seed and same calls: the same bytes.
    - `clock`: a VirtualClock by default, which starts at the latest time of `store`.
    - `pacing`: how long things take; a Pacing or the name of one ("today", "2025", "2024",
      "quick", "instant").
    - `responder`: answers the lines: a function of the request, a mapping by custom_id, or the
      path of a JSONL file (see batchsim.responders.scripted); by default a simulated model. It is
      asked about a line when the line's time has come, and at most once in a process.
    - `limits`: what is allowed; OpenAI's limits by default.
    - `store`: keeps files and batches; memory by default. Batches that were running when the store
      was last open run on. Lines that had run are run again, with the same results for the same
      seed, pacing and responder. `close` closes the store.
    - `order`: "shuffled" (by default) writes results in the order in which their lines finished;
      "input" in input order, as the service does in practice without promising it.
    - `scenario`: how the service behaves; a Scenario or the names of some ("slow,rate_limited").
      It changes parts of the pacing, and has faults of its own. The metadata key
      `batchsim.scenario` of a batch puts that batch into a further scenario.
    - `faults`: further faults; none by default.
    - `supports`: says which models exist.
    - `organization`, `project`: the names that appear in messages.
    - `in_background`: a thread does the work that takes seconds for large batches (validating,
      answering, writing results), as soon as it can. A look at such a batch then never waits: it
      shows the batch as it was until the work is done. History is the same; cancel, delete and
      history calls wait. For servers, on a clock that runs.

    `undisturbed` is the same service without faults of requests. A call of it is no request: it is
    not logged, and changes nothing for the draws of others.

    Raises UsageError for an unknown pacing, scenario or order and for an argument of a wrong type,
    and the errors of the responder's source.
    """

    service = "the simulator"

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        pacing: Pacing | str | None = None,
        responder: Source | None = None,
        limits: Limits = OPENAI,
        store: Store | None = None,
        order: Literal["shuffled", "input"] = "shuffled",
        scenario: Scenario | str = "completed",
        faults: Faults | None = None,
        supports: Callable[[str], bool] = is_openai_model,
        organization: str = "org-batchsim",
        project: str = "proj_batchsim",
        in_background: bool = False,
    ) -> None:
        check_service(
            seed=seed, clock=clock, limits=limits, store=store, supports=supports, order=order
        )
        faults = NO_FAULTS if faults is None else faults
        check_faults(faults)
        self.organization = organization
        self.project = project
        draws = Draws(seed)
        settings = Settings(
            draws=draws,
            pacing=pacing_of(pacing),
            faults=NO_FAULTS,
            limits=limits,
            respond=_responder(responder),
            respond_many=simulated_many if responder is None else None,
            supports=supports,
            shuffled=order == "shuffled",
            organization=organization,
            project=project,
        ).in_scenario(scenario_of(scenario))
        settings = replace(settings, faults=settings.faults + faults)
        store = MemoryStore() if store is None else store
        self.lasts = not isinstance(store, MemoryStore)
        self.undisturbed = Simulator(settings, store, clock, in_background=in_background)
        self.clock = self.undisturbed.clock
        self.requests = log.RequestLog(self.undisturbed.time)  # the requests to this backend
        self._has_model = supports
        self._faults = FaultInjector(self.undisturbed, draws, settings.faults)

    retrieve_file = _request(Simulator.retrieve_file, "file_id")
    list_files = _request(Simulator.list_files, "after")
    delete_file = _request(Simulator.delete_file, "file_id")
    create_batch = _request(Simulator.create_batch, "input_file_id")
    retrieve_batch = _request(Simulator.retrieve_batch, "batch_id")
    cancel_batch = _request(Simulator.cancel_batch, "batch_id")
    list_batches = _request(Simulator.list_batches, "after")
    answer = _request(Simulator.answer, "url")

    @log.logged
    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
        request_id: str | None = None,
    ) -> File:
        fault = self._faults.fault_for("upload_file", filename)
        again = fault is not None and fault.fault in READ_AGAIN
        reading = reread(content) if again else lambda: content

        def work() -> File:
            return self.undisturbed.upload_file(
                reading(),
                filename=filename,
                purpose=purpose,
                expires_after=expires_after,
                request_id=request_id,
            )

        return self._faults.apply(fault, "upload_file", work)

    def receiving(self) -> AbstractContextManager[Reception] | None:
        """See Receives. None where a fault may read a content twice, or late."""
        if self._faults.has_faults:
            return None
        return log.logged_receiving(self, self.undisturbed.receiving())

    @log.logged_reading
    def read_file(self, file_id: str) -> Iterator[bytes]:
        fault = self._faults.fault_for("read_file", file_id)
        pieces = self.undisturbed.read_file(file_id)
        if fault is not None:
            if fault.fault == "truncated":
                at = fault.at_byte
                size = self.undisturbed.retrieve_file(file_id).bytes
                pieces = cut_off(pieces, size // 2 if at is None else at)
            else:
                self._faults.apply(fault, "read_file", lambda: None)
        yield from pieces

    def as_request(self, name: str, subject: str, work: Callable[[], Value]) -> Value:
        return log.log_request(self, name, partial(self._faults.call, name, subject, work), subject)

    def has_model(self, name: str) -> bool:
        return self._has_model(name)

    def set_faults(self, faults: Faults) -> None:
        """Replace all faults, those of the scenario included.

        Requests are counted from here. A batch that is running its lines keeps its faults. Raises
        UsageError for an unknown scenario.
        """
        check_faults(faults)
        self.undisturbed.set_faults(faults)
        self._faults.replace(faults)

    def take_ended(self) -> tuple[Batch, ...]:
        """Return the batches that have ended since the last call, in the order of their ends.

        They are kept for this process only: to miss none, ask before you close.
        """
        return self.undisturbed.take_ended()

    def history(self, *, as_seen: bool = False) -> log.History:
        """Return all requests so far and all that came of them: see batchsim.verdict.

        It waits for background work that is due. With `as_seen` it does not wait, and shows what a
        look would show now.
        """
        return self.undisturbed.history(self.requests, as_seen=as_seen)

    def close(self) -> None:
        """Drop what is running and close the store. A second call does nothing."""
        self.undisturbed.close()


def _responder(source: Source | None) -> Responder:
    if source is None:
        return simulated
    from batchsim.responders.scripted import scripted

    return scripted(source)
