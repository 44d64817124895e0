"""A FakeBackend that does what takes long in the background: seen later, but the same history."""

import math
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest

from batchsim.backends.fake import FakeBackend, Faults, LineFault, Pacing, RequestFault
from batchsim.backends.fake.service import transitions
from batchsim.cli.commands.serve import print_verdicts
from batchsim.clock import VirtualClock
from batchsim.errors import OutcomeUnknown
from batchsim.server.fakes_by_key import FakesByKey
from batchsim.stores.disk import DiskStore
from batchsim.stores.memory import MemoryStore

PATIENCE = 20
"""Seconds after which a test gives up: nothing here takes any."""
STEADY = Pacing(
    validating=60, running=100, running_per_line=0, finalizing=10, finalizing_per_line=0, spread=0
)


class Gate:
    """Lets the thread that does the work get no further than to a content, until it is opened."""

    def __init__(self):
        self.is_open = threading.Event()
        self.reached = threading.Event()
        self.failures = []

    def pass_by(self):
        if threading.current_thread().name != "batchsim-worker":
            return
        self.reached.set()
        assert self.is_open.wait(PATIENCE)
        if self.failures:
            raise self.failures.pop()


def store_behind_gate(kind, gate):
    class Gated(kind):
        def open_content(self, key):
            gate.pass_by()
            return super().open_content(key)

        def draft(self):
            gate.pass_by()
            return super().draft()

    return Gated


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.is_open.set()


@pytest.fixture
def all_is_large(monkeypatch):
    monkeypatch.setattr(transitions, "SMALL_INPUT", 0)
    monkeypatch.setattr(transitions, "FEW_LINES", 0)


@pytest.fixture
def slow_user(user, gate, request):
    """A user of a backend whose work in the background does not get on while the gate is closed."""

    request.getfixturevalue("all_is_large")

    def make(store=None, **options):
        store = store_behind_gate(MemoryStore, gate)() if store is None else store
        options = {"pacing": STEADY, "clock": VirtualClock(), **options}
        return user(store=store, in_background=True, **options)

    return make


def all_batches_and_files(someone):
    """All that there is once everything due has happened: the batches, and the
    contents of files.
    """
    service = someone.backend.undisturbed
    batches = service.all_batches()
    return batches, {each.id: someone.read(each.id) for each in service.all_files()}


def test_everything_is_answered_while_a_batch_is_validated(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    seen = someone.look(batch, after=65)
    assert (seen, someone.look(batch, after=200)) == (batch, batch)
    other = someone.start(chats(3))
    assert someone.backend.retrieve_batch(other.id).status == "validating"
    assert [each.id for each in someone.backend.list_batches().data] == [other.id, batch.id]
    assert len(someone.backend.list_files().data) == 2
    assert someone.read(batch.input_file_id) == chats(20)
    assert someone.backend.take_ended() == ()
    gate.is_open.set()
    (first, second), _ = all_batches_and_files(someone)
    assert (first.status, second.status) == ("completed", "validating")
    start = batch.created_at
    assert (first.in_progress_at, first.finalizing_at) == (start + 60, start + 160)
    assert first.completed_at == start + 170
    assert [each.id for each in someone.backend.take_ended()] == [batch.id]


def test_the_history_as_seen_waits_for_nothing(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(65)  # its validation is due, and does not get on
    (seen,) = someone.backend.history(as_seen=True).batches
    assert (seen.batch, seen.ended) == (batch, math.inf)
    gate.is_open.set()
    (known,) = someone.backend.history().batches
    assert known.batch.status == "in_progress"


@pytest.mark.usefixtures("all_is_large")
def test_a_server_tells_its_verdict_while_work_is_under_way_and_gives_that_up(
    gate, chats, capsys, monkeypatch
):
    monkeypatch.setattr(
        "batchsim.server.fakes_by_key.MemoryStore", store_behind_gate(MemoryStore, gate)
    )
    fakes = FakesByKey(pacing=STEADY)
    backend = fakes.tenants.backend("sk-any")
    file = backend.upload_file(BytesIO(chats(20)), filename="input.jsonl")
    backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    fakes.clock.advance(65)
    assert gate.reached.wait(PATIENCE)
    print_verdicts(fakes)
    said = capsys.readouterr().err
    assert said.startswith("verdict on 2 requests: 1 finding: leaves_batches\n")
    assert said.endswith("is validating\n")
    gate.is_open.set()
    fakes.close()


def test_a_look_at_what_is_under_way_keeps_nobody_waiting(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(65)
    assert someone.look(batch) == batch
    assert someone.look(batch) == batch
    gate.is_open.set()
    all_batches_and_files(someone)
    gate.is_open.clear()
    written = someone.look(batch, after=200)
    assert written.status == "finalizing"
    assert someone.look(batch) == written


def test_everything_is_answered_while_results_are_written(slow_user, gate, chats):
    gate.is_open.set()
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(65)
    all_batches_and_files(someone)
    gate.is_open.clear()
    assert someone.look(batch, after=200).status == "finalizing"
    assert someone.backend.list_batches().data[0].status == "finalizing"
    assert len(someone.backend.list_files().data) == 1
    gate.is_open.set()
    (ended,), _ = all_batches_and_files(someone)
    assert (ended.status, ended.completed_at) == ("completed", batch.created_at + 170)


def eventful_history(someone, chats):
    """Several batches, good, bad, cancelled, faulty, their inputs deleted; what is left of it."""
    backend = someone.backend
    good = someone.start(chats(30))
    someone.start(chats(5) + b"no json\n")
    backend.clock.sleep(30)
    early = someone.start(chats(12))
    late = someone.start(chats(13))
    backend.cancel_batch(early.id)
    backend.clock.sleep(10)
    backend.set_faults(Faults(lines=(LineFault("error", share=0.5),)))
    someone.start(chats(14))
    backend.clock.sleep(70)
    backend.cancel_batch(late.id)
    backend.delete_file(good.input_file_id)
    backend.set_faults(Faults())
    backend.clock.sleep(2 * 86_400)
    return all_batches_and_files(someone)


def test_history_is_the_same_in_the_background(slow_user, gate, user, chats):
    gate.is_open.set()
    assert eventful_history(slow_user(), chats) == eventful_history(
        user(pacing=STEADY, clock=VirtualClock()), chats
    )


def test_the_work_begins_as_soon_as_a_batch_is_created(slow_user, gate, chats):
    someone = slow_user()
    someone.start(chats(3))
    assert gate.reached.wait(PATIENCE)  # with the clock where it was, and nobody looking


def test_who_cancels_waits_for_what_was_due_before(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(110)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(someone.backend.cancel_batch, batch.id)
        assert gate.reached.wait(PATIENCE)
        assert someone.look(batch).status == "validating"  # others are answered meanwhile
        gate.is_open.set()
        cancelled = cancelling.result(PATIENCE)
    assert (cancelled.status, cancelled.in_progress_at) == ("cancelling", batch.created_at + 60)
    assert cancelled.request_counts.completed == 10


def test_who_cancels_before_anything_is_due_does_not_wait(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    assert gate.reached.wait(PATIENCE)
    someone.backend.clock.sleep(30)
    assert someone.backend.cancel_batch(batch.id).status == "cancelling"
    someone.backend.clock.sleep(605)
    gate.is_open.set()
    (ended,), files = all_batches_and_files(someone)
    assert (ended.status, ended.in_progress_at, list(files)) == (
        "cancelled",
        None,
        [batch.input_file_id],
    )


def test_an_input_that_is_deleted_too_late_is_validated(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(65)
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(someone.backend.delete_file, batch.input_file_id)
        assert gate.reached.wait(PATIENCE)
        gate.is_open.set()
        deleting.result(PATIENCE)
    assert someone.look(batch).status == "in_progress"
    someone.backend.clock.sleep(200)
    (ended,), files = all_batches_and_files(someone)
    assert (ended.status, list(files)) == ("completed", [ended.output_file_id])


def test_an_input_that_is_deleted_in_time_fails_the_batch(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    assert gate.reached.wait(PATIENCE)
    someone.backend.delete_file(batch.input_file_id)
    gate.is_open.set()
    someone.backend.clock.sleep(65)
    (ended,), _ = all_batches_and_files(someone)
    assert ended.status == "failed"


def test_what_is_done_ahead_for_other_faults_is_done_again(slow_user, gate, chats):
    gate.is_open.set()
    someone = slow_user()
    batch = someone.start(chats(20))
    assert gate.reached.wait(PATIENCE)
    someone.backend.set_faults(Faults(lines=(LineFault("error", custom_id="request-7"),)))
    someone.backend.clock.sleep(600)
    all_batches_and_files(someone)
    assert someone.look(batch).request_counts.failed == 1


def test_faults_that_are_set_later_do_not_touch_what_was_due_before(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(65)
    faults = Faults(lines=(LineFault("error", custom_id="request-7"),))
    with ThreadPoolExecutor(1) as pool:
        setting = pool.submit(someone.backend.set_faults, faults)
        assert gate.reached.wait(PATIENCE)
        gate.is_open.set()
        setting.result(PATIENCE)
    someone.backend.clock.sleep(600)
    all_batches_and_files(someone)
    assert someone.look(batch).request_counts.failed == 0


def test_what_comes_late_comes_after_what_was_due_before(slow_user, gate, chats):
    someone = slow_user(faults=Faults(requests=(RequestFault("late", call="cancel_batch"),)))
    batch = someone.start(chats(20))
    with pytest.raises(OutcomeUnknown):
        someone.backend.cancel_batch(batch.id)
    someone.backend.clock.sleep(200)
    assert someone.look(batch).status == "validating"
    gate.is_open.set()
    (ended,), _ = all_batches_and_files(someone)
    assert ended.cancelling_at == batch.created_at + 60


def test_a_failure_of_the_work_is_for_who_looks_and_is_tried_again(slow_user, gate, chats):
    gate.failures.append(OSError("no space left on device"))
    gate.is_open.set()
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.backend.clock.sleep(300)
    with pytest.raises(OSError, match="no space left"):
        someone.backend.undisturbed.catch_up()
    all_batches_and_files(someone)
    assert someone.look(batch).status == "completed"


def test_closing_ends_what_is_under_way(slow_user, gate, chats):
    someone = slow_user()
    batch = someone.start(chats(20))
    someone.look(batch, after=200)
    assert gate.reached.wait(PATIENCE)
    closing = threading.Thread(target=someone.backend.close)
    closing.start()
    gate.is_open.set()
    closing.join(PATIENCE)
    assert not [each for each in threading.enumerate() if each.name == "batchsim-worker"]


@pytest.mark.parametrize("how", ["closed", "killed"])
@pytest.mark.parametrize("seconds", [30, 65, 165, 1_000])
def test_nothing_is_lost_when_the_work_is_interrupted(
    slow_user, gate, user, chats, tmp_path, how, seconds
):
    someone = slow_user(store_behind_gate(DiskStore, gate)(tmp_path / "store"))
    batch = someone.start(chats(20))
    someone.look(batch, after=seconds)
    assert gate.reached.wait(PATIENCE)
    clock = someone.backend.clock
    if how == "killed":
        shutil.copytree(tmp_path / "store", tmp_path / "next")
        gate.is_open.set()
    else:
        gate.is_open.set()
        someone.backend.close()
        (tmp_path / "store").rename(tmp_path / "next")
    someone = slow_user(DiskStore(tmp_path / "next"), clock=clock)
    clock.sleep(1_000)
    expected = user(pacing=STEADY, clock=VirtualClock())
    expected.start(chats(20))
    expected.backend.clock.sleep(seconds + 1_000)
    assert all_batches_and_files(someone) == all_batches_and_files(expected)


def test_small_batches_are_done_at_once(user, chats):
    someone = user(in_background=True, pacing="instant")
    batch = someone.start(chats(1_000))
    assert someone.look(batch).status == "completed"


def test_a_large_batch_is_not(user, gate, chats):
    someone = user(
        store=store_behind_gate(MemoryStore, gate)(), in_background=True, pacing="instant"
    )
    batch = someone.start(chats(1_001, user="x" * 200))
    assert someone.look(batch).status == "validating"
    gate.is_open.set()
    (ended,), _ = all_batches_and_files(someone)
    assert (ended.status, ended.request_counts.completed) == ("completed", 1_001)


def test_many_threads_see_nothing_go_back(slow_user, gate, chats):
    gate.is_open.set()
    someone = slow_user()
    batches = [someone.start(chats(number)) for number in range(1, 13)]
    order = ["validating", "in_progress", "finalizing", "completed"]

    def watch(batch):
        seen = [0]
        while seen[-1] < 3:
            look = someone.look(batch, after=1)
            seen.append(order.index(look.status))
        return seen, len(someone.results(look.output_file_id))

    with ThreadPoolExecutor(6) as pool:
        watched = list(pool.map(watch, batches))
    assert [lines for _, lines in watched] == list(range(1, 13))
    assert all(seen == sorted(seen) for seen, _ in watched)


@pytest.mark.usefixtures("all_is_large")
def test_the_default_does_it_at_once(user, gate, chats):
    someone = user(store=store_behind_gate(MemoryStore, gate)(), pacing=STEADY)
    assert isinstance(someone.backend, FakeBackend)
    assert someone.look(someone.start(chats(20)), after=300).status == "completed"
    assert not gate.reached.is_set()
