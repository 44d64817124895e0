"""Deciding: each numbered case of batchsim.runner.schedule.decide, from entries alone, with no
backend.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from batchsim.domain.batches import Batch, BatchError, RequestCounts
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import OPENAI, Limits
from batchsim.errors import JournalError
from batchsim.runner.job import JobState, Session, Stage, fold
from batchsim.runner.journal.job_entries import (
    Audited,
    Elected,
    Finished,
    Reconciled,
    RoundPlanned,
    Tally,
)
from batchsim.runner.journal.shard_entries import (
    BatchGivenUp,
    Blocked,
    Checked,
    Collected,
    CreateAbandoned,
    Created,
    CreateFenced,
    CreateIntended,
    CreateNotFound,
    CreateRefused,
    CreateUnknown,
    Downloaded,
    FileGone,
    Observed,
    Postponed,
    Source,
    TwinSeen,
    UploadDropped,
    Uploaded,
    UploadIntended,
)
from batchsim.runner.policy import BatchRetries, Policy
from batchsim.runner.schedule.actions import (
    AbandonCreate,
    Assemble,
    Audit,
    CancelTwin,
    Collect,
    Create,
    Done,
    Download,
    FenceCreate,
    FindBatch,
    FindUpload,
    GiveUpBatch,
    PlanRound,
    Poll,
    Stop,
    Upload,
    Wait,
)
from batchsim.runner.schedule.agenda import Agenda
from batchsim.runner.schedule.decide import decide
from tests.sample_batches import sample_batch, sample_planned

POLICY = Policy()
TALLY = Tally(ok=1)


def batch_like(
    status=Status.IN_PROGRESS, *, errors=(), completed=0, failed=0, output=None, error=None
):
    return sample_batch(
        status=status,
        errors=errors,
        request_counts=RequestCounts(completed + failed, completed, failed),
        output_file_id=output,
        error_file_id=error,
    )


LEFT = Collected(shard=1, tally=TALLY, retriable=1)


def state_after(*entries, shards=1):
    """The state after these entries, one a second, of a job with so many shards planned at 0."""
    plans = [(0.0, sample_planned(number + 1)) for number in range(shards)]
    state = fold(plans + [(float(at), entry) for at, entry in enumerate(entries, start=1)])
    return after_surveying(state, len(entries))


@dataclass
class Known:
    """The state of a job and the session of a process, which take in entries together."""

    state: JobState
    session: Session = field(default_factory=Session)

    @property
    def shards(self):
        return self.state.shards

    def apply(self, at, entry):
        self.state.apply(at, entry)
        self.session.apply(at, entry)


def after_surveying(state, now):
    """The state once this process has read the lists, and may create."""
    known = Known(state)
    known.apply(now, Reconciled())
    known.apply(now, Elected(site=known.session.site))
    known.session.surveyed_at = 1e9  # surveys are tested by themselves
    known.session.polled_at = None
    return known


def actions_at(known, now, policy=POLICY, limits=OPENAI):
    return decide(Agenda(known.state, known.session, policy, limits), now)


INTENDED = UploadIntended(shard=1, attempt=1, filename="name")
UPLOADED = Uploaded(shard=1, file_id="file-1")
ASKED = CreateIntended(shard=1, file_id="file-1")
UNKNOWN = CreateUnknown(shard=1, reason="")
CREATED = Created(shard=1, batch=batch_like())


def observed(**values):
    return Observed(shard=1, batch=batch_like(**values))


FULL = BatchError("token_limit_exceeded", "Enqueued token limit reached")
LOST = BatchError("invalid_request", "Cannot find file file-1, or ...", "file_id")


@pytest.mark.parametrize(
    ("entries", "now", "expected"),
    [
        pytest.param([], 0, Upload(1), id="1"),
        pytest.param([INTENDED, UploadDropped(shard=1, reason="")], 2, Upload(1), id="1 again"),
        pytest.param([INTENDED], 1, FindUpload(1), id="2"),
        pytest.param([INTENDED, UPLOADED], 2, Create(1), id="3"),
        pytest.param(
            [INTENDED, UPLOADED, ASKED, CreateRefused(shard=1, reason="")],
            4,
            Create(1),
            id="3 again",
        ),
        pytest.param([INTENDED, UPLOADED, ASKED, UNKNOWN], 4, FindBatch(1), id="4"),
        pytest.param(
            [INTENDED, UPLOADED, ASKED, UNKNOWN, Checked(shard=1)],
            5,
            Wait(25.0),
            id="4 looks again",
        ),
        pytest.param([INTENDED, UPLOADED, ASKED, CREATED], 4, Wait(14.0), id="5 waits"),
        pytest.param([INTENDED, UPLOADED, ASKED, CREATED], 14, Poll(1), id="5"),
        pytest.param([CREATED, observed(status=Status.COMPLETED)], 2, Collect(1), id="6d"),
        pytest.param(
            [CREATED, observed(status=Status.FAILED, errors=(FULL,))], 2, Wait(62.0), id="6a waits"
        ),
        pytest.param(
            [CREATED, observed(status=Status.FAILED, errors=(FULL,))], 62, GiveUpBatch(1), id="6a"
        ),
        pytest.param(
            [CREATED, observed(status=Status.FAILED, errors=(LOST,))],
            62,
            GiveUpBatch(1),
            id="6a incident",
        ),
        pytest.param(
            [CREATED, observed(status=Status.FAILED, errors=(BatchError("x", "y", None, 1),))],
            2,
            Collect(1),
            id="6d failed for good",
        ),
        pytest.param(
            [CREATED, observed(status=Status.COMPLETED, completed=1)], 12, Poll(1), id="6b"
        ),
        pytest.param(
            [CREATED, observed(status=Status.COMPLETED, failed=1, output="o")],
            12,
            Poll(1),
            id="6b error",
        ),
        pytest.param(
            [CREATED, observed(status=Status.EXPIRED, completed=1, output="o", error="e")],
            2,
            Download(1, Source.OUTPUT, "o"),
            id="6c",
        ),
        pytest.param(
            [
                CREATED,
                observed(status=Status.CANCELLED, completed=1, output="o", error="e"),
                Downloaded(shard=1, source=Source.OUTPUT, file_id="o", bytes=1, sha256=""),
            ],
            3,
            Download(1, Source.ERROR, "e"),
            id="6c the other",
        ),
        pytest.param(
            [
                CREATED,
                observed(status=Status.COMPLETED, completed=1, output="o"),
                FileGone(shard=1, source=Source.OUTPUT, file_id="o", reason=""),
            ],
            3,
            Collect(1),
            id="6d gone",
        ),
        pytest.param([CREATED, Collected(shard=1, tally=TALLY)], 2, Audit(), id="7"),
        pytest.param(
            [CREATED, Collected(shard=1, tally=TALLY), Audited(batches=1)],
            3,
            Assemble(),
            id="7 audited",
        ),
        pytest.param([CREATED, LEFT], 2, PlanRound(), id="7 again"),
        pytest.param(
            [CREATED, LEFT, RoundPlanned(round=2), LEFT], 4, Audit(), id="7 no round is left"
        ),
        pytest.param([CREATED, LEFT, RoundPlanned(round=1)], 3, Audit(), id="7 nothing is left"),
        pytest.param(
            [CREATED, LEFT, Finished(bytes=1, tally=TALLY)], 3, PlanRound(), id="7 reopened"
        ),
        pytest.param(
            [CREATED, Collected(shard=1, tally=TALLY), Finished(bytes=1, tally=TALLY)],
            3,
            Done(),
            id="end",
        ),
    ],
)
def test_a_shard_takes_the_step_of_its_case(entries, now, expected):
    assert actions_at(state_after(*entries), now) == [expected]


def test_files_that_never_come_are_waited_for_only_so_long():
    promised = observed(status=Status.COMPLETED, completed=1)
    state = state_after(CREATED, promised)
    state.apply(601.0, Checked(shard=1, batch=promised.batch))
    assert actions_at(state, 611.0) == [Poll(1)]
    state.apply(611.0, Checked(shard=1, batch=promised.batch))
    assert actions_at(state, 611.0) == [Collect(1)]


def state_after_search(policy, *, until=604.0):
    """A create of unknown outcome at 4.0, looked for since, and settled `until`."""
    state = state_after(INTENDED, UPLOADED, ASKED, UNKNOWN)
    state.apply(until - 14, Checked(shard=1))
    assert actions_at(state, until - 14, policy) == [Wait(until)]
    for entry in (CreateNotFound(shard=1), Checked(shard=1)):
        state.apply(until, entry)
    return state


def test_a_create_that_is_not_found_is_left_to_a_person():
    (stop,) = actions_at(state_after_search(POLICY), 604.0)
    assert isinstance(stop, Stop)
    assert "file-1" in stop.reasons[0]


def test_fence_deletes_the_file_after_the_first_look_and_creates_again_once_it_settled():
    policy = Policy(on_unknown="fence")
    state = state_after(INTENDED, UPLOADED, ASKED, UNKNOWN)
    assert actions_at(state, 4.0, policy) == [FindBatch(1)]
    state.apply(5.0, Checked(shard=1))
    assert actions_at(state, 5.0, policy) == [FenceCreate(1)]
    for entry in (CreateFenced(shard=1), Checked(shard=1)):
        state.apply(6.0, entry)
    assert actions_at(state, 6.0, policy) == [Wait(26.0)]
    state.apply(606.0, Checked(shard=1))
    assert actions_at(state, 606.0, policy) == [Wait(626.0)], "looked at, but not by both clocks"
    for entry in (CreateNotFound(shard=1), Checked(shard=1)):
        state.apply(607.0, entry)
    assert actions_at(state, 607.0, policy) == [AbandonCreate(1)]
    state.apply(608.0, CreateAbandoned(shard=1))
    assert actions_at(state, 608.0, policy) == [Upload(1)]
    assert state.shards[1].file_id is None, "a file is used for one create only"


def test_wait_looks_on_until_the_batch_would_have_ended_and_fences_then():
    policy = Policy(on_unknown="wait")
    state = state_after_search(Policy())
    (wait,) = actions_at(state, 604.0, policy)
    assert wait.until > 604.0
    state.apply(25 * 3_600.0, Checked(shard=1))
    (wait,) = actions_at(state, 25 * 3_600.0, policy)
    assert isinstance(wait, Wait)
    state.apply(25 * 3_600.0 + 60, Checked(shard=1))
    assert actions_at(state, 25 * 3_600.0 + 60, policy) == [FenceCreate(1)]


def test_a_request_that_is_under_way_is_not_asked_about():
    assert isinstance(actions_at(state_after(INTENDED, UPLOADED, ASKED), 9.0)[0], Stop)


def test_a_twin_is_cancelled_until_it_no_longer_runs():
    twin = replace(batch_like(), id="batch_2")
    state = state_after(CREATED, TwinSeen(shard=1, batch=twin))
    assert actions_at(state, 2.0) == [CancelTwin(1, "batch_2")]
    state.apply(3.0, TwinSeen(shard=1, batch=replace(twin, status=Status.CANCELLING)))
    assert actions_at(state, 3.0) == [Wait(11.0)]


def test_batches_that_fail_in_passing_are_given_up_only_so_often():
    failed = observed(status=Status.FAILED, errors=(FULL,))
    policy = Policy(batch_retries=BatchRetries(batches=2))
    state = state_after(CREATED, failed, BatchGivenUp(shard=1, reason=""), CREATED, failed)
    assert actions_at(state, 5.0, policy) == [Collect(1)]


@pytest.mark.parametrize("entry", [INTENDED, UPLOADED, CREATED])
def test_a_step_that_failed_waits_its_turn(entry):
    state = state_after(entry)
    state.apply(100.0, Postponed(shard=1, until=130.0, reason="down"))
    assert actions_at(state, 129.0) == [Wait(130.0)]
    assert actions_at(state, 130.0) != [Wait(130.0)]


def test_patience_counts_from_the_first_failure_and_starts_anew_after_a_success():
    state = state_after(CREATED)
    state.apply(100.0, Postponed(shard=1, until=102.0, reason="down"))
    state.apply(3_600.0, Postponed(shard=1, until=3_700.0, reason="down"))
    assert actions_at(state, 3_700.0) == [Poll(1)]
    state.apply(3_700.0, Postponed(shard=1, until=3_800.0, reason="still down"))
    (stop,) = actions_at(state, 3_700.0)
    assert stop.reasons == ("shard 1 of 1: still down (for 3600 seconds)",)
    state.apply(3_800.0, Checked(shard=1, batch=batch_like()))
    assert isinstance(actions_at(state, 3_800.0)[0], Wait)


def test_submissions_come_one_at_a_time_and_looks_a_second_apart():
    state = state_after(CREATED, Created(shard=2, batch=batch_like()), shards=4)
    assert actions_at(state, 60.0) == [Upload(3), Poll(1)]
    state.apply(60.0, Checked(shard=1))
    assert actions_at(state, 60.5) == [Upload(3)]
    assert actions_at(state, 61.0) == [Upload(3), Poll(2)], "one look a second"


def test_a_shard_is_created_before_the_next_is_uploaded():
    assert actions_at(state_after(INTENDED, UPLOADED, shards=2), 2.0) == [Create(1)]


def test_after_a_refusal_nothing_more_is_sent_and_the_live_go_on():
    state = state_after(CREATED, shards=3)
    state.apply(2.0, Blocked(shard=2, reason="no"))
    assert actions_at(state, 3.0) == [Wait(11.0)]
    state.apply(11.0, observed(status=Status.COMPLETED))
    state.apply(12.0, Collected(shard=1, tally=TALLY))
    assert actions_at(state, 13.0) == [Stop(("shard 2 of 3: no",))]


def test_a_stuck_shard_does_not_hold_up_the_others():
    state = state_after(CREATED, shards=2)
    state.apply(2.0, Blocked(shard=1, reason="404"))
    assert actions_at(state, 3.0) == [Upload(2)]


def test_so_many_shards_are_on_their_way_as_the_policy_allows():
    policy = Policy(max_live=1)
    assert actions_at(state_after(CREATED, shards=2), 2.0, policy) == [Wait(11.0)]
    state = state_after(CREATED, observed(status=Status.COMPLETED), shards=2)
    assert actions_at(state, 2.0, policy) == [Collect(1), Upload(2)]


@pytest.mark.parametrize(("limit", "sent"), [(9, False), (10, True)])
def test_the_tokens_of_live_shards_are_kept_below_the_limit_of_their_queue(limit, sent):
    limits = Limits(enqueued_tokens={"gpt-4o-mini": limit})
    state = after_surveying(
        fold(
            [(0.0, sample_planned(1, tokens=5)), (0.0, sample_planned(2, tokens=5)), (1.0, CREATED)]
        ),
        1.0,
    )
    assert (actions_at(state, 2.0, limits=limits) == [Upload(2)]) is sent


def test_a_create_that_waits_keeps_its_place_in_the_queue():
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 9})
    state = after_surveying(
        fold(
            [
                (0.0, sample_planned(1, tokens=5)),
                (0.0, sample_planned(2, tokens=5)),
                (1.0, UPLOADED),
            ]
        ),
        1.0,
    )
    state.apply(2.0, Postponed(shard=1, until=100.0, reason="slow down"))
    assert actions_at(state, 3.0, limits=limits) == [Wait(100.0)]


def test_a_shard_larger_than_its_queue_is_sent_alone():
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 1})
    state = after_surveying(
        fold([(0.0, sample_planned(1, tokens=5)), (0.0, sample_planned(2, tokens=5))]), 1.0
    )
    assert actions_at(state, 0.0, limits=limits) == [Upload(1)]


def test_queues_of_other_models_do_not_count():
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 5, "gpt-4o": 5})
    other = sample_planned(2, model="gpt-4o", tokens=5)
    state = after_surveying(
        fold([(0.0, sample_planned(1, tokens=5)), (0.0, other), (1.0, CREATED)]), 1.0
    )
    assert actions_at(state, 2.0, limits=limits) == [Upload(2)]


def test_a_status_that_goes_backwards_after_the_end_is_not_believed():
    state = state_after(
        CREATED, observed(status=Status.COMPLETED), Observed(shard=1, batch=batch_like())
    )
    assert state.shards[1].stage is Stage.ENDED
    assert state.shards[1].batch.status is Status.COMPLETED


def test_a_status_that_is_not_known_counts_as_live():
    strange = Batch.from_object({"id": "batch_1", "status": "resting", "output_file_id": "o"})
    state = state_after(CREATED, Observed(shard=1, batch=strange))
    assert actions_at(state, 2.0) == [Wait(12.0)]


def test_an_entry_about_a_shard_that_was_never_planned_is_damage():
    with pytest.raises(JournalError, match="never planned"):
        state_after(Uploaded(shard=9, file_id="file-1"))
