"""What a store keeps from one FakeBackend to the next."""

from dataclasses import replace

import pytest

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.clock import VIRTUAL_START, VirtualClock
from batchsim.domain.limits import OPENAI
from batchsim.errors import NotFound, RateLimited

STEADY = Pacing(
    validating=60, running=100, running_per_line=0, finalizing=10, finalizing_per_line=0, spread=0
)
PHASES = {"validating": 30, "in_progress": 115, "finalizing": 165, "completed": 171}


def answer(line, occasion):
    return (200 if occasion.entropy[0] % 3 else 500), {"at": occasion.at}


@pytest.mark.parametrize("phase", PHASES)
def test_a_batch_goes_on_to_the_same_results(user, chats, store, phase):
    def history(*restarts, **options):
        someone = user(pacing=STEADY, responder=answer, **options)
        batch = someone.start(chats(20))
        start = someone.backend.clock.now()
        for moment in restarts:
            someone.look(batch, after=moment)
            someone.backend = FakeBackend(
                clock=someone.backend.clock, pacing=STEADY, responder=answer, **options
            )
        someone.backend.clock.advance_to(start + 1_000)
        batch = someone.look(batch)
        return batch, someone.read(batch.output_file_id), someone.read(batch.error_file_id)

    assert history(PHASES[phase], store=store) == history()


def test_a_deleted_input_is_kept_until_its_batch_has_ended(user, chats, store):
    someone = user(store=store, pacing=STEADY)
    batch = someone.look(someone.start(chats(10)), after=125)
    someone.backend.delete_file(batch.input_file_id)
    someone.backend = FakeBackend(store=store, pacing=STEADY)
    batch = someone.look(batch, after=605)
    assert len(someone.results(batch.output_file_id)) == 10
    assert store.contents() == [batch.output_file_id]


def test_blank_lines_at_the_end_do_no_harm(user, chats, store):
    someone = user(store=store, pacing=STEADY)
    batch = someone.look(someone.start(chats(4) + b"\n \n\n"), after=125)
    someone.backend = FakeBackend(store=store, pacing=STEADY)
    batch = someone.look(batch, after=605)
    assert len(someone.results(batch.output_file_id)) == 4


def test_a_cancelled_batch_stays_cancelled(user, chats, store):
    someone = user(store=store, pacing=STEADY)
    batch = someone.look(someone.start(chats(10)), after=125)
    cancelling = someone.backend.cancel_batch(batch.id)
    someone.backend = FakeBackend(store=store, pacing=STEADY)
    assert someone.look(batch) == cancelling
    batch = someone.look(batch, after=605)
    assert (batch.status, len(someone.results(batch.output_file_id))) == ("cancelled", 6)


def test_the_default_clock_starts_where_the_store_left_off(user, store):
    someone = user(store=store)
    assert someone.backend.clock.now() == VIRTUAL_START
    someone.backend.clock.sleep(1_000)
    someone.upload(b"{}\n")
    assert user(store=store).backend.clock.now() == VIRTUAL_START + 1_000


def test_what_was_seen_is_not_unseen_by_a_clock_that_starts_anew(user, chats, store):
    someone = user(store=store, pacing=STEADY)
    batch = someone.look(someone.start(chats(10)), after=125)
    assert batch.request_counts.completed == 6
    someone.backend = FakeBackend(store=store, pacing=STEADY, clock=VirtualClock())
    assert someone.look(batch) == batch


def test_the_ids_of_new_files_and_batches_are_new(user, chats, store):
    someone = user(store=store)
    batch = someone.start(chats(1))
    someone.backend.delete_file(batch.input_file_id)
    someone.backend = FakeBackend(store=store)
    again = someone.start(chats(1))
    assert again.id != batch.id
    assert again.input_file_id != batch.input_file_id


def test_a_file_expires_in_the_next_process_too(user, store):
    someone = user(store=store)
    file = someone.upload(b"{}\n", expires_after=3_600)
    someone.backend = FakeBackend(store=store)
    assert someone.backend.retrieve_file(file.id) == file
    someone.backend.clock.sleep(3_600)
    with pytest.raises(NotFound):
        someone.backend.retrieve_file(file.id)


def test_the_batches_of_the_last_hour_still_count(user, chats, store):
    limits = replace(OPENAI, batches_per_hour=1)
    someone = user(store=store, limits=limits)
    someone.start(chats(1))
    someone.backend = FakeBackend(store=store, limits=limits)
    with pytest.raises(RateLimited):
        someone.start(chats(1))
    someone.backend.clock.sleep(3_600)
    someone.start(chats(1))


def test_contents_without_a_record_are_dropped(user, store):
    with store.draft() as draft:
        draft.write(b"left behind")
        draft.keep("file-lost")
    kept = user(store=store).upload(b"{}\n")
    FakeBackend(store=store)
    assert store.contents() == [kept.id]
