"""A rule-based machine over a FakeBackend, to be subclassed.

    class Mine(PipelineMachine):
        @rule(batch=PipelineMachine.batches)
        def collect(self, batch): ...  # your code, on self.backend

    TestMine = Mine.TestCase

Its rules start and cancel batches and let time pass, at random. A subclass adds the steps of its
own code, and its invariants. At the end of each run everything has ended.
"""

import io
import json
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import DAY
from batchsim.errors import Conflict
from batchsim.testing import strategies

LONGEST_DAYS = 12  # after them every batch has ended, but in scenarios that never end


class PipelineMachine(RuleBasedStateMachine):
    """A service with everything drawn, in the middle of its work.

    `backend` is the FakeBackend; `batches` is the bundle of the ids of all batches. The rules here
    use `backend.undisturbed`, where no request fails, since they are not the client under test. A
    subclass may set `services` to a strategy of its own.
    """

    batches: Bundle[str] = Bundle("batches")
    services: st.SearchStrategy[FakeBackend] = strategies.services()
    backend: FakeBackend

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Draw the service."""
        self.backend = data.draw(self.services, label="service")

    @rule(target=batches, lines=strategies.inputs())
    def create(self, lines: list[dict[str, Any]]) -> str:
        """Upload an input and create a batch over it."""
        service = self.backend.undisturbed
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        file = service.upload_file(io.BytesIO(content), filename="input.jsonl")
        self.backend.clock.sleep(2.0)
        return service.create_batch(input_file_id=file.id, endpoint=strategies.CHAT).id

    @rule(seconds=st.sampled_from((1, 10, 60, 3_600, DAY)))
    def let_time_pass(self, seconds: int) -> None:
        """Sleep."""
        self.backend.clock.sleep(seconds)

    @rule(batch=batches)
    def cancel(self, batch: str) -> None:
        """Cancel a batch, if it can be cancelled."""
        try:
            self.backend.undisturbed.cancel_batch(batch)
        except Conflict:
            return

    def teardown(self) -> None:
        """Let everything end, and close the service. A subclass that overrides it calls it last."""
        if hasattr(self, "backend"):
            self.backend.clock.sleep(LONGEST_DAYS * DAY)
            self.backend.close()
