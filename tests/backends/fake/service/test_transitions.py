"""Rows of the checklist about a batch's life."""

import dataclasses
import itertools
import math

import pytest

from batchsim.backends.fake import PACINGS, Pacing
from batchsim.clock import VirtualClock
from batchsim.domain.answers import Answer
from batchsim.domain.batches import RequestCounts, Usage
from batchsim.errors import Conflict, NotFound, Refused

DAY = 86_400
STEADY = Pacing(
    validating=60,
    running=100,
    running_per_line=0,
    finalizing=10,
    finalizing_per_line=0,
    cancelling=605,
    spread=0,
)
USAGE = Usage(10, 20, 3, 4)


def good_line(line):
    return Answer(200, '{"ok": true}', USAGE)


def bad_line(line):
    return Answer(500, '{"error": null}')


def odd_lines_fail(line):
    return bad_line(line) if line.number % 2 else good_line(line)


@pytest.mark.parametrize(
    ("pacing", "least", "most"), [("today", 60, 64), ("2025", 1, 1), ("quick", 1, 1)]
)
def test_row_071_validating_lasts_as_long_as_the_pacing_says(user, chats, pacing, least, most):
    someone = user(pacing=pacing)
    batch = someone.start(chats(1))
    assert someone.look(batch, after=least - 0.5).status == "validating"
    batch = someone.look(batch, after=most - least + 1)
    assert least <= batch.in_progress_at - batch.created_at <= most


def test_row_072_the_total_is_known_from_in_progress_on(user, chats):
    someone = user(pacing=STEADY)
    batch = someone.start(chats(4))
    assert someone.look(batch, after=59).request_counts == RequestCounts(0, 0, 0)
    assert someone.look(batch, after=1).request_counts == RequestCounts(4, 0, 0)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("gpt-5-nano", "gpt-5-nano-2025-08-07"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-99", "gpt-99"),
    ],
)
def test_row_073_the_model_is_shown_as_a_dated_snapshot(user, chats, model, shown):
    someone = user(pacing=STEADY)
    batch = someone.start(chats(1, model=model))
    assert someone.look(batch, after=59).model is None
    assert someone.look(batch, after=1).model == shown


def test_row_074_an_embedding_model_keeps_its_alias(user, jsonl):
    someone = user()
    body = {"model": "text-embedding-3-small", "input": "a"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}
    batch = someone.finish(jsonl([line]), endpoint="/v1/embeddings")
    assert (batch.status, batch.model) == ("completed", "text-embedding-3-small")


def test_row_075_counts_grow_line_by_line(user, chats):
    someone = user(pacing=STEADY, responder=odd_lines_fail)
    batch = someone.look(someone.start(chats(4)), after=60)
    assert batch.in_progress_at == batch.created_at + 60
    seen = [someone.look(batch, after=5).request_counts for _ in range(19)]
    done = [counts.completed + counts.failed for counts in seen]
    assert done == [n // 5 for n in range(1, 20)]
    for earlier, later in itertools.pairwise(seen):
        assert earlier.completed <= later.completed
        assert earlier.failed <= later.failed


def test_row_076_finalizing_has_final_counts_and_no_files(user, chats):
    someone = user(pacing=STEADY, responder=odd_lines_fail)
    batch = someone.look(someone.start(chats(5)), after=160)
    assert (batch.status, batch.finalizing_at) == ("finalizing", batch.created_at + 160)
    assert batch.request_counts == RequestCounts(5, 2, 3)
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_row_077_finalizing_takes_75_ms_a_line(user, chats):
    someone = user(pacing="today")
    batch = someone.finish(chats(1_000))
    assert 73 <= batch.completed_at - batch.finalizing_at <= 79


def test_row_078_a_batch_without_failures_has_no_error_file(user, chats):
    batch = user(pacing=STEADY, responder=good_line).finish(chats(3))
    assert (batch.status, batch.completed_at) == ("completed", batch.created_at + 170)
    assert batch.output_file_id is not None
    assert batch.error_file_id is None


def test_row_079_a_batch_with_failures_has_both_files(user, chats):
    someone = user(responder=odd_lines_fail)
    batch = someone.finish(chats(5))
    assert (batch.status, batch.request_counts) == ("completed", RequestCounts(5, 2, 3))
    assert len(someone.results(batch.output_file_id)) == 2
    assert len(someone.results(batch.error_file_id)) == 3


def test_row_080_a_batch_of_failures_is_completed_without_output(user, chats):
    batch = user(responder=bad_line).finish(chats(3))
    assert (batch.status, batch.request_counts) == ("completed", RequestCounts(3, 0, 3))
    assert batch.output_file_id is None
    assert batch.error_file_id is not None
    assert batch.usage == Usage()


def test_row_081_usage_is_the_sum_over_good_lines_from_the_end_on(user, chats):
    someone = user(pacing=STEADY, responder=odd_lines_fail)
    batch = someone.start(chats(5))
    for seconds in (60, 60, 45):
        batch = someone.look(batch, after=seconds)
        assert batch.usage == Usage()
    assert batch.status == "finalizing"
    assert someone.look(batch, after=10).usage == USAGE + USAGE


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize("count", [1, 50])
def test_row_083_timestamps_are_in_order(user, chats, pacing, count):
    batch = user(pacing=pacing).finish(chats(count))
    assert batch.status == "completed"
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at


def test_row_085_a_batch_expires_after_a_day_with_what_it_has(user, chats):
    pacing = dataclasses.replace(STEADY, running=4 * (DAY - 60))
    someone = user(pacing=pacing, responder=good_line)
    batch = someone.look(someone.start(chats(8)), after=DAY - 1)
    assert (batch.status, batch.request_counts.completed) == ("in_progress", 1)
    batch = someone.look(batch, after=1)
    assert (batch.status, batch.finalizing_at) == ("finalizing", batch.expires_at)
    batch = someone.look(batch, after=10)
    assert (batch.status, batch.expired_at) == ("expired", batch.expires_at + 10)
    assert len(someone.results(batch.output_file_id)) == 2
    errors = [line["error"]["code"] for line in someone.results(batch.error_file_id)]
    assert errors == ["batch_expired"] * 6
    assert batch.usage == USAGE + USAGE


def test_row_086_lines_that_expired_are_not_failed(user, chats):
    pacing = dataclasses.replace(STEADY, running=2 * (DAY - 60))
    batch = user(pacing=pacing, responder=odd_lines_fail).finish(chats(8))
    assert batch.request_counts.total == 8
    assert batch.request_counts.completed + batch.request_counts.failed == 4


def test_row_087_a_window_may_close_late(user, chats):
    pacing = dataclasses.replace(STEADY, running=math.inf, expiry_delay=1_800)
    someone = user(pacing=pacing)
    batch = someone.look(someone.start(chats(1)), after=DAY + 1_799)
    assert batch.status == "in_progress"
    batch = someone.look(batch, after=11)
    assert batch.expired_at == batch.created_at + DAY + 1_810
    assert batch.expires_at == batch.created_at + DAY


def test_row_088_cancelling_while_validating(user, chats):
    someone = user(pacing=STEADY)
    batch = someone.look(someone.start(chats(2)), after=30)
    batch = someone.backend.cancel_batch(batch.id)
    assert (batch.status, batch.cancelling_at) == ("cancelling", batch.created_at + 30)
    assert batch.request_counts == RequestCounts()


def test_row_089_cancelling_takes_ten_minutes_even_when_nothing_ran(user, chats):
    someone = user()
    batch = someone.backend.cancel_batch(someone.start(chats(2)).id)
    assert someone.look(batch, after=604).status == "cancelling"
    batch = someone.look(batch, after=1)
    assert (batch.status, batch.cancelled_at) == ("cancelled", batch.cancelling_at + 605)


def test_row_090_cancelled_before_the_start_leaves_nothing(user, chats):
    someone = user()
    batch = someone.backend.cancel_batch(someone.start(chats(2)).id)
    batch = someone.look(batch, after=1_000)
    assert (batch.in_progress_at, batch.finalizing_at) == (None, None)
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert (batch.request_counts, batch.model) == (RequestCounts(), None)


def test_row_091_cancelled_while_running_keeps_what_finished(user, chats):
    someone = user(pacing=STEADY, responder=odd_lines_fail)
    batch = someone.look(someone.start(chats(8)), after=60 + 63)
    cancelling = someone.backend.cancel_batch(batch.id)
    done = cancelling.request_counts
    assert done.completed + done.failed == 5
    batch = someone.look(batch, after=605)
    assert (batch.status, batch.request_counts) == ("cancelled", done)
    assert batch.in_progress_at is not None
    assert batch.finalizing_at is None
    assert len(someone.results(batch.output_file_id)) == done.completed
    codes = [
        line["error"] and line["error"]["code"] for line in someone.results(batch.error_file_id)
    ]
    assert codes.count("batch_cancelled") == 3
    assert codes.count(None) == done.failed
    assert batch.usage.input_tokens == 10 * done.completed


def test_cancelling_while_finalizing_keeps_everything(user, chats):
    someone = user(pacing=STEADY, responder=good_line)
    batch = someone.look(someone.start(chats(4)), after=165)
    assert someone.backend.cancel_batch(batch.id).status == "cancelling"
    batch = someone.look(batch, after=605)
    assert (batch.status, batch.request_counts) == ("cancelled", RequestCounts(4, 4, 0))
    assert len(someone.results(batch.output_file_id)) == 4
    assert batch.error_file_id is None


@pytest.mark.parametrize(
    ("content", "running", "status"),
    [("good", 1, "completed"), ("bad", 1, "failed"), ("good", math.inf, "expired")],
)
def test_row_092_a_batch_that_has_ended_cannot_be_cancelled(user, chats, content, running, status):
    someone = user(pacing=dataclasses.replace(STEADY, running=running))
    batch = someone.finish(chats(1) if content == "good" else b"{}\n")
    assert batch.status == status
    with pytest.raises(Conflict) as refused:
        someone.backend.cancel_batch(batch.id)
    error = refused.value
    assert error.message == f"Cannot cancel a batch with status '{status}'."
    assert (error.status, error.type, error.param, error.code) == (
        409,
        "invalid_request_error",
        None,
        None,
    )
    assert someone.look(batch) == batch


def test_row_093_cancelling_again_changes_nothing(user, chats):
    someone = user()
    batch = someone.backend.cancel_batch(someone.start(chats(1)).id)
    someone.backend.clock.sleep(100)
    assert someone.backend.cancel_batch(batch.id) == batch
    ended = someone.look(batch, after=1_000)
    assert ended.status == "cancelled"
    assert someone.backend.cancel_batch(batch.id) == ended


def test_cancelling_at_the_moment_of_completion_is_too_late(user, chats):
    someone = user(pacing=STEADY)
    batch = someone.start(chats(1))
    someone.backend.clock.sleep(170)
    with pytest.raises(Conflict, match="'completed'"):
        someone.backend.cancel_batch(batch.id)


@pytest.mark.parametrize("method", ["retrieve_batch", "cancel_batch"])
@pytest.mark.parametrize("batch_id", ["batch_1", "batch-xyz", "batch", "batch_１"])
def test_rows_094_and_096_an_unknown_batch_is_not_found(user, method, batch_id):
    with pytest.raises(NotFound) as refused:
        getattr(user().backend, method)(batch_id)
    error = refused.value
    assert error.message == f"No batch found with id '{batch_id}'."
    assert (error.status, error.param, error.code) == (404, None, None)


@pytest.mark.parametrize("method", ["retrieve_batch", "cancel_batch"])
def test_row_095_an_id_with_another_prefix_is_refused(user, method):
    with pytest.raises(Refused) as refused:
        getattr(user().backend, method)("invalid")
    error = refused.value
    assert (
        error.message == "Invalid 'batch_id': 'invalid'. Expected an ID that begins with 'batch'."
    )
    assert (error.status, error.param, error.code) == (400, "batch_id", "invalid_value")


def test_row_097_a_failed_batch_has_only_its_errors(user):
    batch = user(pacing=STEADY).finish(b"{}\n")
    assert (batch.status, batch.failed_at) == ("failed", batch.created_at + 60)
    assert (batch.in_progress_at, batch.model, batch.expired_at) == (None, None, None)
    assert batch.request_counts == RequestCounts()
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert batch.errors


def test_row_098_failing_may_take_no_time(user):
    someone = user(pacing="instant")
    batch = someone.look(someone.start(b"{}\n"))
    assert (batch.status, batch.failed_at) == ("failed", batch.created_at)


@pytest.mark.parametrize("content", [b"{}\n", None])
def test_row_099_nothing_leaves_a_terminal_status(user, chats, content):
    someone = user()
    batch = someone.finish(content or chats(1))
    for seconds in (0, 1, DAY, 400 * DAY):
        assert someone.look(batch, after=seconds) == batch


def test_row_100_a_batch_may_be_stuck_in_progress(user, chats):
    someone = user(pacing=dataclasses.replace(STEADY, running=math.inf))
    batch = someone.look(someone.start(chats(15)), after=DAY - 1)
    assert (batch.status, batch.request_counts) == ("in_progress", RequestCounts(15, 0, 0))
    assert someone.look(batch, after=11).status == "expired"


def test_row_101_a_batch_may_be_stuck_finalizing(user, chats):
    someone = user(pacing=dataclasses.replace(STEADY, finalizing=math.inf))
    batch = someone.look(someone.start(chats(1)), after=30 * DAY)
    assert batch.status == "finalizing"


def test_validation_that_never_ends_expires(user, chats):
    someone = user(pacing=dataclasses.replace(STEADY, validating=math.inf))
    batch = someone.finish(chats(1))
    assert (batch.status, batch.expired_at) == ("expired", batch.expires_at)
    assert (batch.output_file_id, batch.error_file_id, batch.in_progress_at) == (None,) * 3


def test_row_102_batches_are_listed_newest_first_in_pages(user, chats):
    someone = user()
    file = someone.upload(chats(1))
    ids = [
        someone.backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions").id
        for _ in range(25)
    ][::-1]
    first = someone.backend.list_batches()
    assert ([batch.id for batch in first.data], first.has_more) == (ids[:20], True)
    second = someone.backend.list_batches(after=first.data[-1].id)
    assert ([batch.id for batch in second.data], second.has_more) == (ids[20:], False)
    assert not someone.backend.list_batches(limit=25).has_more
    assert someone.backend.list_batches(after=ids[-1]).data == ()


def test_row_102_a_list_shows_batches_as_they_are_now(user, chats):
    someone = user(pacing=STEADY)
    batch = someone.start(chats(2))
    someone.backend.clock.sleep(110)
    assert someone.backend.list_batches().data == (someone.look(batch),)


@pytest.mark.parametrize(
    ("limit", "code"), [(0, "integer_below_min_value"), (101, "integer_above_max_value")]
)
def test_row_102_a_limit_out_of_range_is_refused(user, limit, code):
    with pytest.raises(Refused) as refused:
        user().backend.list_batches(limit=limit)
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, "limit", code)


def test_row_102_an_unknown_cursor_is_not_found(user):
    with pytest.raises(NotFound, match="No batch found with id 'batch_1'"):
        user().backend.list_batches(after="batch_1")


def test_row_104_an_empty_list_has_no_more(user):
    page = user().backend.list_batches()
    assert (page.data, page.has_more) == ((), False)


@pytest.mark.parametrize(("count", "seconds"), [(3, 70), (20, 83)])
@pytest.mark.parametrize("seed", range(12))
def test_the_2024_pacing_repeats_two_real_runs(user, chats, seed, count, seconds):
    someone = user(pacing="2024", seed=seed)
    start = someone.backend.clock.now()
    batch = someone.start(chats(count))
    while not batch.status.is_terminal:
        batch = someone.look(batch, after=10)
    someone.read(batch.output_file_id)
    assert someone.backend.clock.now() - start == seconds


def test_transfers_take_as_long_as_the_pacing_says(user, chats):
    someone = user(pacing=Pacing(upload=4, download=2))
    start = someone.backend.clock.now()
    file = someone.upload(chats(1))
    assert file.created_at == someone.backend.clock.now() == start + 4
    someone.read(file.id)
    assert someone.backend.clock.now() == start + 6


def test_a_clock_that_goes_back_stands_still(user, chats):
    class Moody(VirtualClock):
        shift = 0.0

        def now(self):
            return super().now() + self.shift

    clock = Moody()
    someone = user(clock=clock, pacing=STEADY)
    batch = someone.look(someone.start(chats(1)), after=100)
    clock.shift = -1_000
    assert someone.look(batch) == batch
    assert someone.start(chats(1)).created_at == batch.created_at + 100
    assert someone.look(batch, after=1_070).completed_at == batch.created_at + 170
