"""A machine that uses a FakeBackend at random and compares it with a small model of
the Batch API.
"""

import io
import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.clock import VirtualClock
from batchsim.domain.lifecycle import Status
from batchsim.errors import Conflict, NotFound
from batchsim.stores.memory import MemoryStore
from tests.lifecycle_graph import reachable

CHAT = "/v1/chat/completions"
PACING = Pacing(running_per_line=50, cancelling=605)


@dataclass
class ModelBatch:
    """What must be true of a batch: its input, and what was last seen of it."""

    lines: int
    seen: object


def input_file(lines):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    requests = (
        {"custom_id": f"line {n}", "method": "POST", "url": CHAT, "body": body}
        for n in range(lines)
    )
    return "".join(json.dumps(request) + "\n" for request in requests).encode()


def answer(line, occasion):
    return (200, {}) if occasion.entropy[0] % 4 else (400, {"error": None})


class BatchApi(RuleBasedStateMachine):
    files = Bundle("files")
    gone = Bundle("gone")
    batches = Bundle("batches")

    def __init__(self):
        super().__init__()
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.contents = {}
        self.expiries = {}
        self.model = {}
        self.checked = set()

    @initialize(running=st.sampled_from([2_000, 100_000]), seed=st.integers(0, 9))
    def begin(self, running, seed):
        self.options = {"pacing": replace(PACING, running=running), "seed": seed}
        self.restart()

    @rule(target=files, lines=st.integers(0, 30))
    def upload(self, lines):
        content = input_file(lines) or b"{}\n"
        file = self.backend.upload_file(io.BytesIO(content), filename="a.jsonl")
        self.contents[file.id] = content
        self.expiries[file.id] = file.expires_at
        return file.id

    @rule(target=gone, file=consumes(files))
    def delete(self, file):
        if file in self.contents:
            self.backend.delete_file(file)
            del self.contents[file]
        return file

    @rule(file=gone)
    def find_deleted(self, file):
        with pytest.raises(NotFound):
            self.backend.retrieve_file(file)
        with pytest.raises(NotFound):
            self.backend.delete_file(file)

    @rule(target=batches, lines=st.integers(1, 30))
    def start(self, lines):
        return self.create(self.upload(lines))

    @rule(target=batches, file=files)
    def start_over_known_file(self, file):
        return self.create(file)

    @rule(target=batches, file=gone)
    def start_over_deleted_file(self, file):
        return self.create(file)

    def create(self, file):
        batch = self.backend.create_batch(input_file_id=file, endpoint=CHAT)
        assert batch.status is Status.VALIDATING
        content = self.contents.get(file, b"{}\n")
        self.model[batch.id] = ModelBatch(content.count(b'"POST"'), batch)
        return batch.id

    @rule(
        seconds=st.sampled_from([1, 61, 605, 700, 1_300, 20_000, 50_000]) | st.floats(0, 5_000),
        look=st.booleans(),
    )
    def let_time_pass(self, seconds, look):
        self.clock.sleep(seconds)
        for file in [*self.contents]:
            if self.clock.now() >= self.expiries[file]:
                del self.contents[file]
        if look:
            self.page(100)

    @rule(days=st.integers(1, 40))
    def let_days_pass(self, days):
        self.let_time_pass(days * 86_400, False)

    @rule(batch=batches)
    def look(self, batch):
        self.see(self.backend.retrieve_batch(batch))

    @rule(batch=batches)
    def cancel(self, batch):
        before = self.backend.retrieve_batch(batch)
        self.see(before)
        if before.status in (Status.COMPLETED, Status.FAILED, Status.EXPIRED):
            with pytest.raises(Conflict):
                self.backend.cancel_batch(batch)
            return
        after = self.backend.cancel_batch(batch)
        assert after.status in (Status.CANCELLING, Status.CANCELLED)
        assert after.request_counts == before.request_counts
        self.see(after)

    @rule(limit=st.integers(1, 7))
    def page(self, limit):
        found, after = [], None
        while True:
            page = self.backend.list_batches(limit=limit, after=after)
            found += page.data
            assert len(page.data) == limit or not page.has_more
            if not page.has_more:
                break
            after = page.data[-1].id
        assert [batch.id for batch in found] == [*self.model][::-1]
        for batch in found:
            self.see(batch)

    @rule()
    def list_inputs(self):
        listed = {file.id for file in self.backend.list_files(purpose="batch").data}
        assert listed == set(self.contents)
        for file in listed:
            assert b"".join(self.backend.read_file(file)) == self.contents[file]

    @rule()
    def restart(self):
        """Open another backend on the same store, as a new process would."""
        self.backend = FakeBackend(
            clock=self.clock, store=self.store, responder=answer, **self.options
        )

    def see(self, batch):
        """The status never goes back, counts only grow and stay within bounds."""
        model = self.model[batch.id]
        earlier = model.seen
        assert batch.status in reachable(earlier.status)
        if earlier.status.is_terminal:
            assert batch == earlier
        counts, before = batch.request_counts, earlier.request_counts
        assert counts.completed >= before.completed
        assert counts.failed >= before.failed
        assert counts.completed + counts.failed <= counts.total
        assert counts.total in (before.total, model.lines)
        if batch.status in (Status.VALIDATING, Status.IN_PROGRESS):
            assert self.clock.now() < batch.expires_at
        model.seen = batch
        if batch.status.is_terminal and batch.id not in self.checked:
            self.check_results(batch, model)

    def check_results(self, batch, model):
        """Every custom_id of a batch that ran is in exactly one of the two files."""
        self.checked.add(batch.id)
        try:
            output, errors = (
                [] if file is None else b"".join(self.backend.read_file(file)).splitlines()
                for file in (batch.output_file_id, batch.error_file_id)
            )
        except NotFound:
            assert self.clock.now() - batch.created_at > 30 * 86_400
            return
        counts = batch.request_counts
        expected = [f"line {n}" for n in range(model.lines)] if batch.in_progress_at else []
        found = sorted(json.loads(line)["custom_id"] for line in [*output, *errors])
        assert found == sorted(expected)
        assert len(output) == counts.completed
        never_run = [line for line in errors if json.loads(line)["response"] is None]
        assert len(errors) - len(never_run) == counts.failed
        assert len(never_run) == counts.total - counts.completed - counts.failed

    @invariant()
    def time_stands(self):
        now = self.clock.now()
        for model in self.model.values():
            stamps = [model.seen.created_at, model.seen.in_progress_at, model.seen.finalizing_at]
            assert all(stamp is None or stamp <= now for stamp in stamps)

    def teardown(self):
        self.clock.sleep(4 * 86_400)
        for batch in self.model:
            self.look(batch)
            assert self.model[batch].seen.status.is_terminal
        self.backend.close()


BatchApi.TestCase.settings = settings(stateful_step_count=40)
test_batch_api = BatchApi.TestCase
