"""Deciding: each numbered case of batchsim.runner.schedule.decide, from entries alone, with no backend."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from batchsim.domain.batches import Batch, BatchError, RequestCounts
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import OPENAI, Limits
from batchsim.errors import JournalError
from batchsim.runner.job.shard_state import Stage
from batchsim.runner.job.state import fold
from batchsim.runner.journal import job_entries as e
from batchsim.runner.journal import shard_entries
from batchsim.runner.policy import Policy
from batchsim.runner.schedule import actions as d
from batchsim.runner.schedule.agenda import Agenda
from batchsim.runner.schedule.decide import decide

POLICY = Policy()
TALLY = e.Tally(ok=1)


def planned(shard=1, model="gpt-4o", tokens=0):
    return shard_entries.Planned(
        shard=shard,
        endpoint="/v1/chat/completions",
        model=model,
        lines=1,
        bytes=10,
        tokens=tokens,
        fingerprint="ff",
        ranges=array("Q", [shard - 1, 1, 0, 10]),
    )


def batch(status=Status.IN_PROGRESS, *, errors=(), completed=0, failed=0, output=None, error=None):
    return Batch(
        id="batch_1",
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        created_at=0,
        expires_at=None,
        status=status,
        errors=errors,
        request_counts=RequestCounts(completed + failed, completed, failed),
        output_file_id=output,
        error_file_id=error,
    )


LEFT = shard_entries.Collected(shard=1, tally=TALLY, again=1)


def after(*entries, shards=1):
    """The state after these entries, one a second, of a job with so many shards planned at 0."""
    plans = [(0.0, planned(number + 1)) for number in range(shards)]
    state = fold(plans + [(float(at), entry) for at, entry in enumerate(entries, start=1)])
    return looked_at(state, len(entries))


def looked_at(state, now):
    """The state once this process has read the lists, and may create."""
    state.apply(now, e.Reconciled())
    state.apply(now, e.Elected(place=state.place))
    state.surveyed = 1e9  # surveys are tested by themselves
    state.polled = None
    return state


def at(state, now, policy=POLICY, limits=OPENAI):
    return decide(Agenda(state, policy, limits), now)


INTENDED = shard_entries.UploadIntended(shard=1, attempt=1, filename="name")
UPLOADED = shard_entries.Uploaded(shard=1, file_id="file-1")
ASKED = shard_entries.CreateIntended(shard=1, file_id="file-1")
UNKNOWN = shard_entries.CreateUnknown(shard=1, reason="")
CREATED = shard_entries.Created(shard=1, batch=batch())


def ended(**values):
    return shard_entries.Observed(shard=1, batch=batch(**values))


FULL = BatchError("token_limit_exceeded", "Enqueued token limit reached")
LOST = BatchError("invalid_request", "Cannot find file file-1, or ...", "file_id")


@pytest.mark.parametrize(
    ("entries", "now", "expected"),
    [
        pytest.param([], 0, d.Upload(1), id="1"),
        pytest.param(
            [INTENDED, shard_entries.UploadDropped(shard=1, reason="")],
            2,
            d.Upload(1),
            id="1 again",
        ),
        pytest.param([INTENDED], 1, d.FindUpload(1), id="2"),
        pytest.param([INTENDED, UPLOADED], 2, d.Create(1), id="3"),
        pytest.param(
            [INTENDED, UPLOADED, ASKED, shard_entries.CreateRefused(shard=1, reason="")],
            4,
            d.Create(1),
            id="3 again",
        ),
        pytest.param([INTENDED, UPLOADED, ASKED, UNKNOWN], 4, d.FindBatch(1), id="4"),
        pytest.param(
            [INTENDED, UPLOADED, ASKED, UNKNOWN, shard_entries.Looked(shard=1)],
            5,
            d.Wait(25.0),
            id="4 looks again",
        ),
        pytest.param([INTENDED, UPLOADED, ASKED, CREATED], 4, d.Wait(14.0), id="5 waits"),
        pytest.param([INTENDED, UPLOADED, ASKED, CREATED], 14, d.Poll(1), id="5"),
        pytest.param([CREATED, ended(status=Status.COMPLETED)], 2, d.Collect(1), id="6d"),
        pytest.param(
            [CREATED, ended(status=Status.FAILED, errors=(FULL,))], 2, d.Wait(62.0), id="6a waits"
        ),
        pytest.param(
            [CREATED, ended(status=Status.FAILED, errors=(FULL,))], 62, d.GiveUpBatch(1), id="6a"
        ),
        pytest.param(
            [CREATED, ended(status=Status.FAILED, errors=(LOST,))],
            62,
            d.GiveUpBatch(1),
            id="6a incident",
        ),
        pytest.param(
            [CREATED, ended(status=Status.FAILED, errors=(BatchError("x", "y", None, 1),))],
            2,
            d.Collect(1),
            id="6d failed for good",
        ),
        pytest.param(
            [CREATED, ended(status=Status.COMPLETED, completed=1)], 12, d.Poll(1), id="6b"
        ),
        pytest.param(
            [CREATED, ended(status=Status.COMPLETED, failed=1, output="o")],
            12,
            d.Poll(1),
            id="6b error",
        ),
        pytest.param(
            [CREATED, ended(status=Status.EXPIRED, completed=1, output="o", error="e")],
            2,
            d.Download(1, shard_entries.Source.OUTPUT, "o"),
            id="6c",
        ),
        pytest.param(
            [
                CREATED,
                ended(status=Status.CANCELLED, completed=1, output="o", error="e"),
                shard_entries.Downloaded(
                    shard=1, source=shard_entries.Source.OUTPUT, file_id="o", bytes=1, sha256=""
                ),
            ],
            3,
            d.Download(1, shard_entries.Source.ERROR, "e"),
            id="6c the other",
        ),
        pytest.param(
            [
                CREATED,
                ended(status=Status.COMPLETED, completed=1, output="o"),
                shard_entries.FileGone(
                    shard=1, source=shard_entries.Source.OUTPUT, file_id="o", reason=""
                ),
            ],
            3,
            d.Collect(1),
            id="6d gone",
        ),
        pytest.param(
            [CREATED, shard_entries.Collected(shard=1, tally=TALLY)], 2, d.Audit(), id="7"
        ),
        pytest.param(
            [CREATED, shard_entries.Collected(shard=1, tally=TALLY), e.Audited(batches=1)],
            3,
            d.Assemble(),
            id="7 audited",
        ),
        pytest.param([CREATED, LEFT], 2, d.PlanRound(), id="7 again"),
        pytest.param(
            [CREATED, LEFT, e.RoundPlanned(round=2), LEFT],
            4,
            d.Audit(),
            id="7 no round is left",
        ),
        pytest.param(
            [CREATED, LEFT, e.RoundPlanned(round=1)],
            3,
            d.Audit(),
            id="7 nothing is left",
        ),
        pytest.param(
            [CREATED, LEFT, e.Finished(bytes=1, tally=TALLY)], 3, d.PlanRound(), id="7 reopened"
        ),
        pytest.param(
            [
                CREATED,
                shard_entries.Collected(shard=1, tally=TALLY),
                e.Finished(bytes=1, tally=TALLY),
            ],
            3,
            d.Done(),
            id="end",
        ),
    ],
)
def test_a_shard_takes_the_step_of_its_case(entries, now, expected):
    assert at(after(*entries), now) == [expected]


def test_files_that_never_come_are_waited_for_only_so_long():
    promised = ended(status=Status.COMPLETED, completed=1)
    state = after(CREATED, promised)
    state.apply(601.0, shard_entries.Looked(shard=1, batch=promised.batch))
    assert at(state, 611.0) == [d.Poll(1)]
    state.apply(611.0, shard_entries.Looked(shard=1, batch=promised.batch))
    assert at(state, 611.0) == [d.Collect(1)]


def looked_for(policy, *, until=604.0):
    """A create of unknown outcome at 4.0, looked for since, and settled `until`."""
    state = after(INTENDED, UPLOADED, ASKED, UNKNOWN)
    state.apply(until - 14, shard_entries.Looked(shard=1))
    assert at(state, until - 14, policy) == [d.Wait(until)]
    for entry in (shard_entries.CreateSettled(shard=1), shard_entries.Looked(shard=1)):
        state.apply(until, entry)
    return state


def test_a_create_that_is_not_found_is_left_to_a_person():
    (stop,) = at(looked_for(POLICY), 604.0)
    assert isinstance(stop, d.Stop)
    assert "file-1" in stop.reasons[0]


def test_fence_deletes_the_file_after_the_first_look_and_creates_again_once_it_settled():
    policy = Policy(on_unknown="fence")
    state = after(INTENDED, UPLOADED, ASKED, UNKNOWN)
    assert at(state, 4.0, policy) == [d.FindBatch(1)]
    state.apply(5.0, shard_entries.Looked(shard=1))
    assert at(state, 5.0, policy) == [d.FenceCreate(1)]
    for entry in (shard_entries.CreateFenced(shard=1), shard_entries.Looked(shard=1)):
        state.apply(6.0, entry)
    assert at(state, 6.0, policy) == [d.Wait(26.0)]
    state.apply(606.0, shard_entries.Looked(shard=1))
    assert at(state, 606.0, policy) == [d.Wait(626.0)], "looked at, but not by both clocks"
    for entry in (shard_entries.CreateSettled(shard=1), shard_entries.Looked(shard=1)):
        state.apply(607.0, entry)
    assert at(state, 607.0, policy) == [d.AbandonCreate(1)]
    state.apply(608.0, shard_entries.CreateAbandoned(shard=1))
    assert at(state, 608.0, policy) == [d.Upload(1)]
    assert state.shards[1].file_id is None, "a file is used for one create only"


def test_wait_looks_on_until_the_batch_would_have_ended_and_fences_then():
    policy = Policy(on_unknown="wait")
    state = looked_for(Policy())
    (wait,) = at(state, 604.0, policy)
    assert wait.until > 604.0
    state.apply(25 * 3_600.0, shard_entries.Looked(shard=1))
    (wait,) = at(state, 25 * 3_600.0, policy)
    assert isinstance(wait, d.Wait)
    state.apply(25 * 3_600.0 + 60, shard_entries.Looked(shard=1))
    assert at(state, 25 * 3_600.0 + 60, policy) == [d.FenceCreate(1)]


def test_a_request_that_is_under_way_is_not_asked_about():
    assert isinstance(at(after(INTENDED, UPLOADED, ASKED), 9.0)[0], d.Stop)


def test_a_twin_is_cancelled_until_it_no_longer_runs():
    twin = replace(batch(), id="batch_2")
    state = after(CREATED, shard_entries.TwinSeen(shard=1, batch=twin))
    assert at(state, 2.0) == [d.CancelTwin(1, "batch_2")]
    state.apply(3.0, shard_entries.TwinSeen(shard=1, batch=replace(twin, status=Status.CANCELLING)))
    assert at(state, 3.0) == [d.Wait(11.0)]


def test_batches_that_fail_in_passing_are_given_up_only_so_often():
    failed = ended(status=Status.FAILED, errors=(FULL,))
    policy = Policy(batches_per_shard=2)
    state = after(CREATED, failed, shard_entries.BatchGivenUp(shard=1, reason=""), CREATED, failed)
    assert at(state, 5.0, policy) == [d.Collect(1)]


@pytest.mark.parametrize("entry", [INTENDED, UPLOADED, CREATED])
def test_a_step_that_failed_waits_its_turn(entry):
    state = after(entry)
    state.apply(100.0, shard_entries.Postponed(shard=1, until=130.0, reason="down"))
    assert at(state, 129.0) == [d.Wait(130.0)]
    assert at(state, 130.0) != [d.Wait(130.0)]


def test_patience_counts_from_the_first_failure_and_starts_anew_after_a_success():
    state = after(CREATED)
    state.apply(100.0, shard_entries.Postponed(shard=1, until=102.0, reason="down"))
    state.apply(3_600.0, shard_entries.Postponed(shard=1, until=3_700.0, reason="down"))
    assert at(state, 3_700.0) == [d.Poll(1)]
    state.apply(3_700.0, shard_entries.Postponed(shard=1, until=3_800.0, reason="still down"))
    (stop,) = at(state, 3_700.0)
    assert stop.reasons == ("shard 1 of 1: still down (for 3600 seconds)",)
    state.apply(3_800.0, shard_entries.Looked(shard=1, batch=batch()))
    assert isinstance(at(state, 3_800.0)[0], d.Wait)


def test_submissions_come_one_at_a_time_and_looks_a_second_apart():
    state = after(CREATED, shard_entries.Created(shard=2, batch=batch()), shards=4)
    assert at(state, 60.0) == [d.Upload(3), d.Poll(1)]
    state.apply(60.0, shard_entries.Looked(shard=1))
    assert at(state, 60.5) == [d.Upload(3)]
    assert at(state, 61.0) == [d.Upload(3), d.Poll(2)], "one look a second"


def test_a_shard_is_created_before_the_next_is_uploaded():
    assert at(after(INTENDED, UPLOADED, shards=2), 2.0) == [d.Create(1)]


def test_after_a_refusal_nothing_more_is_sent_and_the_live_go_on():
    state = after(CREATED, shards=3)
    state.apply(2.0, shard_entries.Blocked(shard=2, reason="no"))
    assert at(state, 3.0) == [d.Wait(11.0)]
    state.apply(11.0, ended(status=Status.COMPLETED))
    state.apply(12.0, shard_entries.Collected(shard=1, tally=TALLY))
    assert at(state, 13.0) == [d.Stop(("shard 2 of 3: no",))]


def test_a_stuck_shard_does_not_hold_up_the_others():
    state = after(CREATED, shards=2)
    state.apply(2.0, shard_entries.Blocked(shard=1, reason="404"))
    assert at(state, 3.0) == [d.Upload(2)]


def test_so_many_shards_are_on_their_way_as_the_policy_allows():
    policy = Policy(max_live=1)
    assert at(after(CREATED, shards=2), 2.0, policy) == [d.Wait(11.0)]
    state = after(CREATED, ended(status=Status.COMPLETED), shards=2)
    assert at(state, 2.0, policy) == [d.Collect(1), d.Upload(2)]


@pytest.mark.parametrize(("limit", "sent"), [(9, False), (10, True)])
def test_the_tokens_of_live_shards_are_kept_below_the_limit_of_their_queue(limit, sent):
    limits = Limits(enqueued_tokens={"gpt-4o": limit})
    state = looked_at(
        fold([(0.0, planned(1, tokens=5)), (0.0, planned(2, tokens=5)), (1.0, CREATED)]), 1.0
    )
    assert (at(state, 2.0, limits=limits) == [d.Upload(2)]) is sent


def test_a_create_that_waits_keeps_its_place_in_the_queue():
    limits = Limits(enqueued_tokens={"gpt-4o": 9})
    state = looked_at(
        fold([(0.0, planned(1, tokens=5)), (0.0, planned(2, tokens=5)), (1.0, UPLOADED)]), 1.0
    )
    state.apply(2.0, shard_entries.Postponed(shard=1, until=100.0, reason="slow down"))
    assert at(state, 3.0, limits=limits) == [d.Wait(100.0)]


def test_a_shard_larger_than_its_queue_is_sent_alone():
    limits = Limits(enqueued_tokens={"gpt-4o": 1})
    state = looked_at(fold([(0.0, planned(1, tokens=5)), (0.0, planned(2, tokens=5))]), 1.0)
    assert at(state, 0.0, limits=limits) == [d.Upload(1)]


def test_queues_of_other_models_do_not_count():
    limits = Limits(enqueued_tokens={"gpt-4o": 5, "gpt-4o-mini": 5})
    other = planned(2, model="gpt-4o-mini", tokens=5)
    state = looked_at(fold([(0.0, planned(1, tokens=5)), (0.0, other), (1.0, CREATED)]), 1.0)
    assert at(state, 2.0, limits=limits) == [d.Upload(2)]


def test_a_status_that_goes_backwards_after_the_end_is_not_believed():
    state = after(
        CREATED, ended(status=Status.COMPLETED), shard_entries.Observed(shard=1, batch=batch())
    )
    assert state.shards[1].stage is Stage.ENDED
    assert state.shards[1].batch.status is Status.COMPLETED


def test_a_status_that_is_not_known_counts_as_live():
    strange = Batch.from_object({"id": "batch_1", "status": "resting", "output_file_id": "o"})
    state = after(CREATED, shard_entries.Observed(shard=1, batch=strange))
    assert at(state, 2.0) == [d.Wait(12.0)]


def test_an_entry_about_a_shard_that_was_never_planned_is_damage():
    with pytest.raises(JournalError, match="never planned"):
        after(shard_entries.Uploaded(shard=9, file_id="file-1"))
