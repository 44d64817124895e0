"""Whether a look keeps anybody waiting: known beforehand, and nothing has happened when it would."""

import threading

import pytest

from batchsim.backends.fake import Faults, RequestFault
from batchsim.clock import VirtualClock
from batchsim.domain.lifecycle import Status


def poll_at_once(backend, batch):
    return backend.batch_at_once(batch.id)


@pytest.fixture
def backend_with_ended_batch(user, chats):
    """A backend with those options, and its batch, which has ended."""

    def make(**options):
        someone = user(**options)
        return someone.backend, someone.finish(chats(1))

    return make


def test_a_look_at_what_is_settled_is_answered_and_noted(backend_with_ended_batch):
    backend, batch = backend_with_ended_batch()
    before = backend.requests.count
    assert poll_at_once(backend, batch) == batch
    assert backend.requests.count == before + 1


class HoldingClock(VirtualClock):
    """A clock that one call, which has begun to look at it, waits for."""

    def __init__(self):
        super().__init__()
        self.begun, self.done = threading.Event(), threading.Event()
        self.holds = False

    def now(self):
        if self.holds:
            self.holds = False
            self.begun.set()
            self.done.wait(20)
        return super().now()


def test_not_while_another_call_is_at_work(backend_with_ended_batch):
    clock = HoldingClock()
    backend, batch = backend_with_ended_batch(clock=clock)
    clock.holds = True
    holding = threading.Thread(target=backend.undisturbed.list_batches)
    holding.start()
    clock.begun.wait(20)
    before = backend.requests.count
    assert poll_at_once(backend, batch) is None
    assert backend.requests.count == before
    clock.done.set()
    holding.join()
    assert poll_at_once(backend, batch) == batch


def test_what_is_refused_is_not_answered_so_and_not_noted(backend_with_ended_batch):
    backend, batch = backend_with_ended_batch()
    before = backend.requests.count
    assert backend.batch_at_once(batch.input_file_id) is None
    assert backend.batch_at_once("batch_unknown") is None
    assert backend.file_at_once(batch.id) is None
    assert backend.file_at_once("file-unknown") is None
    assert backend.requests.count == before


def test_not_once_the_batch_is_forgotten(backend_with_ended_batch):
    backend, batch = backend_with_ended_batch(faults=Faults(forgotten_after=3 * 86_400))
    assert poll_at_once(backend, batch) == batch
    backend.clock.advance(3 * 86_400)
    assert poll_at_once(backend, batch) is None


def test_not_while_a_file_is_unseen(user, chats):
    someone = user(faults=Faults(file_unseen_for=30))
    file = someone.upload(chats(1))
    assert someone.backend.file_at_once(file.id) is None
    someone.backend.clock.advance(30)
    assert someone.backend.file_at_once(file.id) == file


def test_while_nothing_happens_it_is_one_object_and_one_entry(backend_with_ended_batch):
    backend, batch = backend_with_ended_batch()
    first = poll_at_once(backend, batch)
    entries = len(backend.requests.entries())
    assert poll_at_once(backend, batch) is first
    assert len(backend.requests.entries()) == entries
    assert backend.requests.entries()[-1].times >= 2


def test_not_when_work_has_become_due_nor_while_the_batch_runs(user, chats):
    someone = user(pacing="today")
    backend, batch = someone.backend, someone.start(chats(1))
    assert poll_at_once(backend, batch).status is Status.VALIDATING  # nothing is due yet
    for _ in range(3_600):
        if poll_at_once(backend, batch) is None:  # the end of validation is due
            break
        backend.clock.advance(1)
    assert backend.retrieve_batch(batch.id).status is Status.IN_PROGRESS
    assert poll_at_once(backend, batch) is None
    file = backend.retrieve_file(batch.input_file_id)
    assert backend.file_at_once(file.id) == file


def test_not_when_a_fault_may_delay_it(backend_with_ended_batch):
    delay = RequestFault("delayed", call="retrieve_batch", seconds=5)
    backend, batch = backend_with_ended_batch(faults=Faults(requests=(delay,)))
    assert poll_at_once(backend, batch) is None
    backend.set_faults(Faults())
    assert poll_at_once(backend, batch) == batch


def test_not_when_an_effect_is_due_that_was_asked_for_earlier(backend_with_ended_batch):
    backend, batch = backend_with_ended_batch()
    backend.undisturbed.later(60, lambda: None)
    assert poll_at_once(backend, batch) == batch
    backend.clock.advance(60)
    assert poll_at_once(backend, batch) is None
    backend.retrieve_batch(batch.id)
    assert poll_at_once(backend, batch) == batch


def test_not_when_the_batch_lives_in_a_scenario_of_its_own(user, chats):
    someone = user()
    batch = someone.finish(chats(1), metadata={"batchsim.scenario": "slow"})
    assert poll_at_once(someone.backend, batch) is None
