"""FakeBackend: the simulated service, reached by requests that can go wrong.

Theory of operation. Every method is one request. Its fate is looked up first (see disturbances),
and then the service behind, a Simulator, is asked, or not, or twice, or later. Without faults a
method is the Simulator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

from batchsim.backends import Page, Reception
from batchsim.backends.constructor_checks import check_service
from batchsim.backends.fake.behaviour.faults import NO_FAULTS, Faults
from batchsim.backends.fake.behaviour.pacing import Pacing, pacing_of
from batchsim.backends.fake.behaviour.scenarios import Scenario, scenario_of
from batchsim.backends.fake.clients import Clients
from batchsim.backends.fake.execution.settings import (
    Behaviour,
    check_faults,
    check_own_scenario,
    own_scenario,
)
from batchsim.backends.fake.fault_injection import READ_AGAIN, Disturbances, cut_off
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.log.decorators import (
    noted,
    noted_look,
    noted_reading,
    noted_receiving,
    noting,
)
from batchsim.backends.fake.log.history import History
from batchsim.backends.fake.log.request_log import RequestJournal
from batchsim.backends.fake.service.simulator import Simulator
from batchsim.clock import Clock
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.files import File
from batchsim.domain.limits import OPENAI, Limits
from batchsim.responders import Responder
from batchsim.responders.simulated import simulated, simulated_together
from batchsim.stores import Store
from batchsim.stores.memory import MemoryStore
from batchsim.stores.spool import reread

if TYPE_CHECKING:
    from batchsim.responders.scripted import Source

Value = TypeVar("Value")


class FakeBackend(Clients):
    """The OpenAI Batch API, simulated in the process: deterministic, free, and as fast as you like.

    - `seed`: what all chance depends on. Same seed and same calls: the same bytes.
    - `clock`: a VirtualClock unless given, which starts where `store` left off.
    - `pacing`: how long things take; a Pacing or the name of one ("today", "2025", "2024",
      "quick", "instant").
    - `responder`: who answers the lines: a function of the request, a mapping by custom_id, or the
      path of a JSONL file (see batchsim.responders.scripted); by default a simulated model. It is
      asked about a line when the line's time has come, and at most once in a process.
    - `limits`: what is allowed; OpenAI's limits by default.
    - `store`: where files and batches rest; memory by default. Batches that were running when a
      store was last open run on, and the lines that had run are run again: to the same results,
      given the same seed, pacing and responder. `close` closes the store.
    - `order`: "shuffled" (by default) writes results in the order in which their lines finished;
      "input" in input order, as the service does in practice without promising it.
    - `scenario`: how the service behaves; a Scenario or the names of some ("slow,rate_limited").
      It changes the pacing as far as it is about time, and has faults of its own. A batch whose
      metadata name one as `batchsim.scenario` lives in that besides.
    - `faults`: what goes wrong besides; nothing by default.
    - `supports`: which models exist.
    - `organization`, `project`: the names that appear in messages.

    - `in_background`: whether a thread does what takes seconds for large batches (validating,
      answering, writing results), beginning as soon as it can. A look at such a batch then never
      waits: it shows the batch as it was until the work is done. History is the same; who cancels,
      deletes or asks for all of it waits. For servers, on a clock that runs.

    `undisturbed` is the same service with nothing between: what is asked there is no request, meets
    no fault of requests and changes no other's fate.

    Raises UsageError for an unknown pacing, scenario or order and for what is of another kind, and
    what the responder's source raises.
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
        behaviour = Behaviour(
            draws=draws,
            pacing=pacing_of(pacing),
            faults=NO_FAULTS,
            limits=limits,
            respond=_responder(responder),
            together=simulated_together if responder is None else None,
            supports=supports,
            shuffled=order == "shuffled",
            organization=organization,
            project=project,
        ).in_scenario(scenario_of(scenario))
        behaviour = replace(behaviour, faults=behaviour.faults + faults)
        store = MemoryStore() if store is None else store
        self.lasts = not isinstance(store, MemoryStore)
        self.undisturbed = Simulator(behaviour, store, clock, in_background=in_background)
        self.clock = self.undisturbed.clock
        self.requests = RequestJournal(self.undisturbed.time)
        """What was asked of this backend, and what came of it."""
        self._has_model = supports
        self._fates = Disturbances(self.undisturbed, draws, behaviour.faults)

    @noted
    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
        request_id: str | None = None,
    ) -> File:
        """See Backend. Checked here: purpose, name, size, UTF-8, and JSON on the first line."""
        fault = self._fates.fate("upload_file", filename)
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

        return self._fates.meet(fault, "upload_file", work)

    def receiving(self) -> AbstractContextManager[Reception] | None:
        """See Receives. Where a fault may have a content read twice, or late, it is not taken in so."""
        if self._fates.can_fall:
            return None
        return noted_receiving(self, self.undisturbed.receiving())

    @noted
    def retrieve_file(self, file_id: str) -> File:
        """See Backend."""
        ask = partial(self.undisturbed.retrieve_file, file_id)
        return self._fates.request("retrieve_file", file_id, ask)

    @noted
    def list_files(
        self,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page[File]:
        """See Backend. Raises NotFound when there is no file `after` (inferred)."""
        ask = partial(
            self.undisturbed.list_files, purpose=purpose, limit=limit, after=after, order=order
        )
        return self._fates.request("list_files", after or "", ask)

    @noted
    def delete_file(self, file_id: str) -> None:
        """See Backend."""
        ask = partial(self.undisturbed.delete_file, file_id)
        return self._fates.request("delete_file", file_id, ask)

    @noted_reading
    def read_file(self, file_id: str) -> Iterator[bytes]:
        """See Backend. Files for assistants and of user data are refused (observed)."""
        fault = self._fates.fate("read_file", file_id)
        pieces = self.undisturbed.read_file(file_id)
        if fault is not None:
            if fault.fault == "truncated":
                at = fault.at_byte
                size = self.undisturbed.retrieve_file(file_id).bytes
                pieces = cut_off(pieces, size // 2 if at is None else at)
            else:
                self._fates.meet(fault, "read_file", lambda: None)
        yield from pieces

    @noted
    def create_batch(
        self,
        *,
        input_file_id: str,
        endpoint: str,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
        request_id: str | None = None,
    ) -> Batch:
        """See Backend. An input file that does not exist fails the batch later (observed)."""
        ask = partial(
            self.undisturbed.create_batch,
            input_file_id=input_file_id,
            endpoint=endpoint,
            completion_window=completion_window,
            metadata=metadata,
            output_expires_after=output_expires_after,
            request_id=request_id,
        )
        check_own_scenario(metadata)
        return self._fates.request("create_batch", input_file_id, ask, own_scenario(metadata))

    @noted
    def retrieve_batch(self, batch_id: str) -> Batch:
        """See Backend. An id that does not begin with `batch` is refused (observed)."""
        ask = partial(self.undisturbed.retrieve_batch, batch_id)
        return self._fates.request("retrieve_batch", batch_id, ask)

    @noted
    def cancel_batch(self, batch_id: str) -> Batch:
        """See Backend. Cancelling while results are written is allowed (inferred)."""
        ask = partial(self.undisturbed.cancel_batch, batch_id)
        return self._fates.request("cancel_batch", batch_id, ask)

    @noted
    def list_batches(self, *, limit: int = 20, after: str | None = None) -> Page[Batch]:
        """See Backend. Raises NotFound when there is no batch `after` (inferred)."""
        ask = partial(self.undisturbed.list_batches, limit=limit, after=after)
        return self._fates.request("list_batches", after or "", ask)

    @noted
    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """See Answers. Whoever answers the lines answers, asked with an empty custom_id.

        A responder of one's own may be asked by several threads at once.
        """
        return self._fates.request("answer", url, partial(self.undisturbed.answer, url, body))

    def as_request(self, name: str, subject: str, work: Callable[[], Value]) -> Value:
        """See Disturbed."""
        return noting(self, name, partial(self._fates.request, name, subject, work), subject)

    def batch_at_once(self, batch_id: str) -> Batch | None:
        """See Prompt. Where a look can meet a fault, it may be delayed: then it never is."""
        if self._fates.can_fall:
            return None
        return noted_look(self, "retrieve_batch", self.undisturbed.batch_at_once(batch_id))

    def file_at_once(self, file_id: str) -> File | None:
        """See Prompt, and `batch_at_once`."""
        if self._fates.can_fall:
            return None
        return noted_look(self, "retrieve_file", self.undisturbed.file_at_once(file_id))

    def has_model(self, name: str) -> bool:
        """See Answers."""
        return self._has_model(name)

    def set_faults(self, faults: Faults) -> None:
        """Let other things go wrong from now on, the scenario's own faults no longer among them.

        Requests are counted anew. A batch that is running its lines keeps its faults. Raises
        UsageError for a scenario that there is not.
        """
        check_faults(faults)
        self.undisturbed.set_faults(faults)
        self._fates.replace(faults)

    def take_ended(self) -> tuple[Batch, ...]:
        """The batches that have ended since the last call, in the order in which they ended.

        Only those that ended in this process: who must not miss any asks before it closes.
        """
        return self.undisturbed.take_ended()

    def history(self, *, as_seen: bool = False) -> History:
        """All that was asked of this backend so far and what came of it: see batchsim.verdict.

        It waits for what is due and still under way in the background, unless it is wanted only
        `as_seen`: as a look would show it now.
        """
        return self.undisturbed.history(self.requests, as_seen=as_seen)

    def close(self) -> None:
        """Forget what is running and close the store. A second call does nothing."""
        self.undisturbed.close()


def _responder(source: Source | None) -> Responder:
    if source is None:
        return simulated
    from batchsim.responders.scripted import scripted

    return scripted(source)
