"""Whether a look keeps anybody waiting: known beforehand, and nothing has happened when it would."""

import threading

import pytest

from batchsim.backends.fake import Faults, RequestFault
from batchsim.domain.lifecycle import Status


def look(backend, batch):
    return backend.at_once(batch.id, lambda: backend.retrieve_batch(batch.id))


@pytest.fixture
def ended(user, chats):
    """A backend with those options, and its batch, which has ended."""

    def make(**options):
        one = user(**options)
        return one.backend, one.finish(chats(1))

    return make


def test_a_look_at_what_is_settled_is_answered_and_noted(ended):
    backend, batch = ended()
    before = backend.requests.count
    assert look(backend, batch) == batch
    assert backend.requests.count == before + 1


def test_not_while_another_call_is_at_work(ended):
    backend, batch = ended()
    begun, done = threading.Event(), threading.Event()

    def work():
        begun.set()
        done.wait(20)

    holding = threading.Thread(target=backend.undisturbed.at_once, args=(batch.id, work))
    holding.start()
    begun.wait(20)
    before = backend.requests.count
    assert look(backend, batch) is None
    assert backend.requests.count == before
    done.set()
    holding.join()
    assert look(backend, batch) == batch


def test_not_when_work_has_become_due_nor_while_the_batch_runs(user, chats):
    one = user(pacing="today")
    backend, batch = one.backend, one.start(chats(1))
    assert look(backend, batch).status is Status.VALIDATING  # nothing is due yet
    for _ in range(3_600):
        if look(backend, batch) is None:  # the end of validation is due
            break
        backend.clock.advance(1)
    assert backend.retrieve_batch(batch.id).status is Status.IN_PROGRESS
    assert look(backend, batch) is None
    file = backend.retrieve_file(batch.input_file_id)
    assert backend.at_once(file.id, lambda: backend.retrieve_file(file.id)) == file


def test_not_when_a_fault_may_delay_it(ended):
    delay = RequestFault("delayed", call="retrieve_batch", seconds=5)
    backend, batch = ended(faults=Faults(requests=(delay,)))
    assert look(backend, batch) is None
    backend.set_faults(Faults())
    assert look(backend, batch) == batch


def test_not_when_an_effect_is_due_that_was_asked_for_earlier(ended):
    backend, batch = ended()
    backend.undisturbed.later(60, lambda: None)
    assert look(backend, batch) == batch
    backend.clock.advance(60)
    assert look(backend, batch) is None
    backend.retrieve_batch(batch.id)
    assert look(backend, batch) == batch


def test_not_when_the_batch_lives_in_a_scenario_of_its_own(user, chats):
    one = user()
    batch = one.finish(chats(1), metadata={"batchsim.scenario": "slow"})
    assert look(one.backend, batch) is None
