"""Using a FakeBackend wrongly, and from many threads."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing, RequestFault
from batchsim.clock import ScaledClock, VirtualClock
from batchsim.errors import UsageError


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: FakeBackend(pacing="slow"), "no pacing called 'slow'"),
        (lambda: FakeBackend(order="sorted"), "results cannot be in 'sorted' order"),
        (lambda: FakeBackend(responder=7), "a responder cannot be an int"),
        (lambda: Pacing(validating=-1), "Pacing.validating cannot be -1"),
        (lambda: Pacing(running=math.nan), "Pacing.running cannot be nan"),
        (lambda: Pacing(spread=1.1), "Pacing.spread cannot be 1.1"),
        (lambda: Pacing(finalizing="1"), "Pacing.finalizing cannot be '1'"),
        (lambda: Faults(incident=2), "Faults.incident cannot be 2"),
        (lambda: Faults(incident="0.5"), "Faults.incident cannot be '0.5'"),
        (lambda: FakeBackend(pacing=[]), r"no pacing called \[\]"),
        (lambda: FakeBackend(seed="1"), "the seed must be an int, not a str"),
        (lambda: FakeBackend(clock=1), "the clock must be a Clock, not an int"),
        (lambda: FakeBackend(clock=VirtualClock), "a Clock, not the class VirtualClock"),
        (lambda: FakeBackend(limits=5), "the limits must be a Limits, not an int"),
        (lambda: FakeBackend(store="x"), "the store must be a Store, not a str"),
        (lambda: FakeBackend(supports="gpt-4o"), "supports must be a function"),
        (lambda: FakeBackend(faults=5), "the faults must be a Faults, not an int"),
        (lambda: FakeBackend().set_faults({}), "the faults must be a Faults, not a dict"),
        (lambda: Faults(requests=[RequestFault("reset")]), r"requests cannot be \[RequestFault"),
        (lambda: Faults(lines=(RequestFault("reset"),)), r"lines cannot be \(RequestFault"),
        (lambda: Faults(quota_after=-1), "quota_after cannot be -1"),
        (lambda: Faults(full_queue_batches=0.5), "full_queue_batches cannot be 0.5"),
        (lambda: Faults(results_live_for=math.inf), "results_live_for cannot be inf"),
        (lambda: Faults(clock_ahead_by=math.nan), "clock_ahead_by cannot be nan"),
        (lambda: RequestFault("delayed", seconds=math.nan), "seconds cannot be nan"),
        (lambda: RequestFault("reset", since="now"), "since cannot be 'now'"),
        (lambda: RequestFault("reset", share="1"), "RequestFault.share cannot be '1'"),
        (lambda: RequestFault("reset", nth="1"), "nth cannot be '1'"),
        (lambda: RequestFault("error", status="500"), "RequestFault.status cannot be '500'"),
        (lambda: RequestFault("truncated", at_byte=math.nan), "at_byte cannot be nan"),
    ],
)
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(UsageError, match=words):
        wrong()


@pytest.mark.parametrize(
    "field",
    [
        "file_unknown_for",
        "file_unseen_for",
        "file_pending_for",
        "results_live_for",
        "stale_list_for",
        "forgotten_after",
        "tokens_held_for",
        "result_ids_late_by",
    ],
)
@pytest.mark.parametrize("seconds", [-1, math.nan, "60", True, [60]], ids=str)
def test_a_delay_that_is_none_is_named(field, seconds):
    with pytest.raises(UsageError, match=f"^Faults.{field} cannot be "):
        Faults(**{field: seconds})


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
