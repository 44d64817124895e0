"""Which requests a fault hits, and what then happens behind it."""

import io
from dataclasses import replace

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault, pacing_of
from batchsim.errors import BatchsimError, NotFound, OutcomeUnknown, Unavailable, UsageError

CHAT = "/v1/chat/completions"


def listed_ids(backend, **options):
    return [each.id for each in backend.list_batches(**options).data]


def calls_that_fail(count, ask):
    """Which of so many calls go wrong, by their place."""
    wrong = set()
    for place in range(1, count + 1):
        try:
            ask(place)
        except BatchsimError:
            wrong.add(place)
    return wrong


def test_a_late_creation_is_one_at_its_own_time(user, chats):
    someone = user(faults=Faults(requests=(RequestFault("late", call="create_batch", seconds=90),)))
    start = someone.backend.clock.now()
    with pytest.raises(OutcomeUnknown):
        someone.start(chats(1))
    someone.backend.clock.sleep(7_200)
    (batch,) = someone.backend.list_batches().data
    assert (batch.created_at, batch.status) == (start + 90, "completed")


def test_a_deleted_input_fails_a_late_creation(user, chats):
    someone = user(
        pacing="instant", faults=Faults(requests=(RequestFault("late", call="create_batch"),))
    )
    file = someone.upload(chats(1))
    with pytest.raises(OutcomeUnknown):
        someone.backend.create_batch(input_file_id=file.id, endpoint=CHAT)
    someone.backend.delete_file(file.id)
    someone.backend.clock.sleep(61)
    assert [each.status for each in someone.backend.list_batches().data] == ["failed"]


def test_a_late_refusal_has_nobody_to_go_to(user, chats):
    late = RequestFault("late", call="cancel_batch", seconds=3_600)
    someone = user(faults=Faults(requests=(late,)))
    batch = someone.start(chats(1))
    with pytest.raises(OutcomeUnknown):
        someone.backend.cancel_batch(batch.id)
    assert someone.look(batch, after=7_200).status == "completed"


def test_a_late_upload_is_one_at_its_own_time(user, chats):
    late = RequestFault("late", call="upload_file", seconds=90)
    someone = user(faults=Faults(requests=(late,)))
    start = someone.backend.clock.now()
    content = io.BytesIO(chats(1))
    with pytest.raises(OutcomeUnknown):
        someone.backend.upload_file(content, filename="input.jsonl")
    content.close()
    assert someone.backend.list_files().data == ()
    someone.backend.clock.sleep(7_200)
    (file,) = someone.backend.list_files().data
    assert (file.created_at, someone.read(file.id)) == (start + 90, chats(1))


def test_a_late_upload_takes_no_time_when_it_happens(user, chats):
    pacing = replace(pacing_of("today"), upload=30)
    late = RequestFault("late", call="upload_file", seconds=90)
    someone = user(pacing=pacing, faults=Faults(requests=(late,)))
    with pytest.raises(OutcomeUnknown):
        someone.upload(chats(1))
    someone.backend.clock.sleep(90)
    now = someone.backend.clock.now()
    assert len(someone.backend.list_files().data) == 1
    assert someone.backend.clock.now() == now


@pytest.mark.parametrize("call", ["retrieve_file", "list_files", "read_file", "list_batches"])
def test_a_late_read_has_no_answer(user, chats, call):
    someone = user(faults=Faults(requests=(RequestFault("late", call="read"),)))
    file = someone.upload(chats(1))
    asked = (file.id,) if "files" not in call and "batches" not in call else ()
    with pytest.raises(Unavailable, match="did not answer in time"):
        list(getattr(someone.backend, call)(*asked))
    someone.backend.clock.sleep(61)
    someone.backend.set_faults(Faults())
    assert someone.backend.list_files().data == (file,)


@pytest.mark.parametrize("size", [1, 200_000])
def test_a_duplicated_upload_makes_two_files_of_one_content(user, chats, size):
    twice = RequestFault("duplicated", call="upload_file")
    someone = user(faults=Faults(requests=(twice,)))
    content = chats(1) + b" " * size
    file = someone.upload(content)
    files = [each.id for each in someone.backend.list_files().data]
    assert (len(files), files.index(file.id)) == (2, 1)
    assert [someone.read(each) for each in files] == [content, content]


def test_the_first_of_two_cancellations_is_answered(user, chats):
    someone = user(faults=Faults(requests=(RequestFault("duplicated", call="write"),)))
    batch = someone.start(chats(1))
    assert someone.backend.cancel_batch(batch.id).status == "cancelling"
    someone.backend.delete_file(batch.input_file_id)


def test_a_stale_list_shows_a_batch_later(user, chats):
    someone = user(scenario="stale_list")
    batch = someone.start(chats(1))
    assert listed_ids(someone.backend) == []
    assert someone.look(batch).id == batch.id
    someone.backend.clock.sleep(60)
    assert listed_ids(someone.backend) == [batch.id]


def test_an_unsorted_list_keeps_its_order_over_its_pages(user, chats):
    someone = user(scenario="unsorted_list")
    made = [someone.start(chats(1)).id for _ in range(9)]
    whole = listed_ids(someone.backend)
    assert whole != made[::-1]
    assert sorted(whole) == sorted(made)
    pages = [
        listed_ids(someone.backend, limit=4, after=after) for after in (None, whole[3], whole[7])
    ]
    assert [each for page in pages for each in page] == whole


def test_a_new_file_is_not_seen_for_a_while(user, chats):
    someone = user(faults=Faults(file_unseen_for=5))
    file = someone.upload(chats(1))
    for ask in (someone.backend.retrieve_file, someone.read):
        with pytest.raises(NotFound):
            ask(file.id)
    assert someone.backend.list_files().data == ()
    someone.backend.clock.sleep(5)
    assert someone.backend.retrieve_file(file.id) == file
    assert someone.backend.list_files().data == (file,)


def test_a_service_whose_clock_is_ahead_stamps_its_own_time(user, chats):
    someone = user(faults=Faults(clock_ahead_by=3_600))
    now = someone.backend.clock.now()
    batch = someone.finish(chats(1))
    assert batch.created_at == now + 3_600
    assert batch.status == "completed"
    assert someone.backend.clock.now() < now + 3 * 86_400


@pytest.mark.parametrize(
    ("nth", "hit"), [(1, {1}), (3, {3}), ((2, 4), {2, 4}), (None, {1, 2, 3, 4, 5})]
)
def test_the_nth_of_the_calls_that_it_is_about(user, chats, nth, hit):
    someone = user(faults=Faults(requests=(RequestFault("reset", call="upload_file", nth=nth),)))
    assert (
        calls_that_fail(5, lambda _: (someone.backend.list_files(), someone.upload(chats(1))))
        == hit
    )


def test_the_first_reading_of_an_output_file(user, chats):
    fault = RequestFault("error", call="read_file", file="output", nth=1)
    someone = user(faults=Faults(requests=(fault,)))
    batch = someone.finish(chats(1))
    someone.read(batch.input_file_id)
    assert calls_that_fail(3, lambda _: someone.read(batch.output_file_id)) == {1}


def test_reads_and_writes_can_be_told_apart(user, chats):
    someone = user(faults=Faults(requests=(RequestFault("reset", call="read"),)))
    file = someone.upload(chats(1))
    assert calls_that_fail(1, lambda _: someone.backend.retrieve_file(file.id)) == {1}
    someone.backend.set_faults(Faults(requests=(RequestFault("reset", call="write"),)))
    assert calls_that_fail(1, lambda _: someone.backend.retrieve_file(file.id)) == set()
    assert calls_that_fail(1, lambda _: someone.upload(chats(1))) == {1}


def test_a_window_of_time(user, chats):
    someone = user(faults=Faults(requests=(RequestFault("reset", since=60, until=180),)))

    def ask(_):
        try:
            someone.backend.list_files()
        finally:
            someone.backend.clock.sleep(60)

    assert calls_that_fail(5, ask) == {2, 3}


def test_one_more_call_changes_no_other_fate():
    faults = Faults(requests=(RequestFault("reset", call="read", share=0.5),))

    def polls(busy):
        fake = FakeBackend(seed=5, faults=faults)

        def ask(_):
            if busy:
                calls_that_fail(2, lambda _: fake.list_files())
                calls_that_fail(1, lambda _: fake.retrieve_file("file-other"))
            fake.retrieve_file("file-this")

        def is_reset(place):
            try:
                ask(place)
            except NotFound:
                return

        return calls_that_fail(40, is_reset)

    assert polls(busy=False) == polls(busy=True)
    assert 10 < len(polls(busy=False)) < 30


def test_a_share_stays_what_it_is_wherever_in_a_plan_it_stands():
    share = RequestFault("reset", share=0.5)
    other = RequestFault("error", call="upload_file")
    alone, after = (
        FakeBackend(seed=5, faults=Faults(requests=each)) for each in ((share,), (other, share))
    )
    assert calls_that_fail(40, lambda _: alone.list_files()) == calls_that_fail(
        40, lambda _: after.list_files()
    )


def test_of_several_faults_the_first_counts(user):
    plan = Faults(requests=(RequestFault("reset", nth=1),)) + Faults(
        requests=(RequestFault("error", status=403),)
    )
    someone = user(faults=plan)
    assert calls_that_fail(1, lambda _: someone.backend.list_batches()) == {1}
    with pytest.raises(BatchsimError, match="permissions"):
        someone.backend.list_batches()


def test_setting_faults_counts_anew(user):
    plan = Faults(requests=(RequestFault("reset", nth=1),))
    someone = user(faults=plan)
    assert calls_that_fail(2, lambda _: someone.backend.list_files()) == {1}
    someone.backend.set_faults(plan)
    assert calls_that_fail(2, lambda _: someone.backend.list_files()) == {1}


def test_looks_aside_are_no_requests(user):
    someone = user(faults=Faults(requests=(RequestFault("reset", nth=1),)))
    someone.backend.undisturbed.list_files()
    assert calls_that_fail(2, lambda _: someone.backend.list_files()) == {1}


def test_scenarios_and_faults_add_up(user, chats):
    someone = user(scenario="slow,reply_lost", faults=Faults(stale_list_for=10))
    with pytest.raises(OutcomeUnknown):
        someone.start(chats(1))
    assert listed_ids(someone.backend) == []
    someone.backend.clock.sleep(3_600)
    assert someone.backend.list_batches().data[0].status == "in_progress"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RequestFault("thunder"), "no request fault called 'thunder'"),
        (lambda: RequestFault("reset", call="creat_batch"), "no call called 'creat_batch'"),
        (lambda: RequestFault("reset", file="log"), "no file called 'log'"),
        (lambda: RequestFault("duplicated"), "'duplicated' cannot hit the call 'any'"),
        (lambda: RequestFault("duplicated", call="list_files"), "cannot hit the call 'list_files'"),
        (lambda: RequestFault("reset", status=500), "'reset' has no 'status'"),
        (lambda: RequestFault("reset", share=1.5), "share cannot be 1.5"),
        (lambda: RequestFault("reset", nth=0), "nth cannot be 0"),
        (lambda: RequestFault("reset", nth=()), r"nth cannot be \(\)"),
        (lambda: RequestFault("reset", since=9, until=9), "from 9 until 9"),
        (lambda: RequestFault("error", status=200), "status cannot be 200"),
        (lambda: RequestFault("delayed", seconds=-1), "seconds cannot be -1"),
        (lambda: RequestFault("truncated", at_byte=-1), "at_byte cannot be -1"),
        (lambda: RequestFault("error", retry_after="1\r\nx: y"), "retry_after cannot be"),
    ],
)
def test_what_does_not_go_together_is_said(make, message):
    with pytest.raises(UsageError, match=message):
        make()
