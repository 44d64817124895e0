"""Using a FakeBackend wrongly, and from many threads."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing
from batchsim.clock import ScaledClock
from batchsim.errors import UsageError


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: FakeBackend(pacing="slow"), "no pacing called 'slow'"),
        (lambda: FakeBackend(order="sorted"), "results cannot be in 'sorted' order"),
        (lambda: FakeBackend(responder=7), "a responder cannot be an int"),
        (lambda: Pacing(validating=-1), "a pacing's validating cannot be -1"),
        (lambda: Pacing(running=math.nan), "a pacing's running cannot be nan"),
        (lambda: Pacing(spread=1.1), "a pacing's spread cannot be 1.1"),
        (lambda: Faults(incident=2), "the share of incident cannot be 2"),
    ],
)
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(UsageError, match=words):
        wrong()


def test_many_threads_share_a_backend(user, chats, store):
    someone = user(store=store, pacing="quick")

    def work(number):
        batch = someone.start(chats(number + 1))
        while not batch.status.is_terminal:
            batch = someone.look(batch, after=0.1)
        return batch.id, len(someone.results(batch.output_file_id))

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(24)))
    assert [lines for _, lines in done] == list(range(1, 25))
    assert len({batch_id for batch_id, _ in done}) == 24
    assert len(someone.backend.list_files().data) == 48


def test_a_running_clock_drives_it_too(user, chats):
    real = 0.0
    clock = ScaledClock(3_600, start=1_700_000_000.4, source=lambda: real, nap=lambda _: None)
    someone = user(clock=clock, pacing="2025")
    batch = someone.start(chats(3))
    assert batch.created_at == 1_700_000_000
    real = 0.5
    batch = someone.look(batch)
    assert (batch.status, batch.in_progress_at) == ("completed", 1_700_000_001)
