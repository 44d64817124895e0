"""Actions -> what happened: the only part of the runner that speaks to the backend.

Theory of operation. Each action is a generator of steps, each an entry or several that belong
together. Whoever drives it writes a step to the journal before asking for the next one, so a
request that is sent between two steps is sent with its intent already on the disk; this is how
"the intent first" is kept, and crash tests need only stop between two steps. An exception ends the
action where it stands, which is always a state that the next process can read.

Failures become entries here. A request that surely had no effect is tried again later (Postponed),
one that was refused for good blocks its shard (Blocked), and one whose outcome is unknown leaves
the stage as the intent made it, so that the next step is to look.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchsim.errors import (
    AuthenticationFailed,
    Conflict,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from batchsim.runner.effects import (
    batch_list,
    delete,
    download,
    finish_shard,
    leader_election,
    submit,
    verify_downloads,
)
from batchsim.runner.effects.context import Step, Workplace, batch_of, words
from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.journal.job_entries import Delayed, Entry, FinishBegun, Halted
from batchsim.runner.journal.shard_entries import (
    BatchGivenUp,
    Blocked,
    CancelAsked,
    Collected,
    CreateAbandoned,
    CreateLeft,
    Divided,
    DownloadDropped,
    Settled,
    TwinSeen,
)
from batchsim.runner.planning.token_bounds import divide, weigh
from batchsim.runner.schedule import actions
from batchsim.runner.schedule.budget import paid
from batchsim.runner.synchronous import finish

_JobAction = (
    actions.Reconcile
    | actions.Elect
    | actions.Survey
    | actions.Audit
    | actions.PlanRound
    | actions.Assemble
)


def perform(work: Workplace, action: actions.Action) -> Iterator[tuple[Entry, ...]]:
    """Do `action`, telling what is about to happen and what did."""
    for step in _guarded(work, action):
        if not isinstance(step, tuple):
            yield (step,)
        elif step:
            yield step


def _guarded(work: Workplace, action: actions.Action) -> Iterator[Step]:
    if isinstance(action, actions.BeginFinish):
        yield FinishBegun()
    elif isinstance(action, _JobAction):
        try:
            yield from _for_job(work, action)
        except (Unavailable, RateLimited) as error:
            until = work.next_try(work.state.setback, error)
            yield Delayed(until=until, reason=words(error))
        except AuthenticationFailed:
            raise
        except Refused as error:
            reads_results = isinstance(action, actions.PlanRound | actions.Assemble)
            what = "results" if reads_results else "lists"
            yield Halted(reason=f"the {what} cannot be read: {words(error)}")
    elif isinstance(action, actions.ShardAction):
        try:
            yield from _for_shard(work, action)
        except (Unavailable, OutcomeUnknown, RateLimited) as error:
            yield work.postponed(action.shard, error)
        except Refused as error:
            yield Blocked(shard=action.shard, reason=words(error))


def _for_job(work: Workplace, action: actions.Action) -> Iterator[Step]:
    match action:
        case actions.Reconcile():
            yield from batch_list.reconcile(work)
        case actions.Elect():
            yield from leader_election.elect(work)
        case actions.Survey():
            yield from batch_list.survey(work, action.after)
        case actions.Audit():
            yield from batch_list.audit(work)
        case actions.PlanRound():
            verify_downloads.mend(work)
            yield finish_shard.next_round(work)
        case actions.Assemble():
            verify_downloads.mend(work)
            yield finish_shard.write_results(work)


def _for_shard(work: Workplace, action: actions.ShardAction) -> Iterator[Step]:  # noqa: C901 - one case per kind of action
    number, shard = action.shard, work.state.shards[action.shard]
    match action:
        case actions.AnswerLines():
            yield from finish.answer_lines(work, number, shard)
        case actions.DeleteRemote():
            yield from delete.delete_remote(work, number, shard)
        case actions.Upload():
            yield from submit.upload(work, number, shard)
        case actions.FindUpload():
            yield from submit.find_upload(work, number, shard)
        case actions.Create():
            yield from submit.create(work, number, shard)
        case actions.FindBatch():
            yield from submit.find_batch(work, number, shard)
        case actions.FenceCreate():
            yield from submit.fence(work, number, shard)
        case actions.AbandonCreate():
            yield CreateAbandoned(shard=number)
        case actions.LeaveCreate():
            yield CreateLeft(shard=number)
        case actions.Poll():
            yield batch_list.poll(work, number, shard)
        case actions.CancelTwin():
            yield _cancel_twin(work, action)
        case actions.CancelBatch():
            yield _cancel(work, number, shard)
        case actions.GiveUpBatch():
            reasons = "; ".join(error.message for error in batch_of(shard).errors[:1])
            yield BatchGivenUp(shard=number, reason=f"{batch_of(shard).id} failed: {reasons}")
        case actions.Download():
            yield download.download(work, action, shard)
        case actions.Collect():
            yield from _collect(work, number, shard)
        case actions.Weigh():
            yield weigh(work.source, shard.plan)
        case actions.Divide():
            last = max(work.state.last_shards.values())
            parts = divide(work.source, shard.plan, work.limits, action.tokens, after=last)
            yield Divided(shard=number), *parts


def _collect(work: Workplace, number: int, shard: ShardState) -> Iterator[Step]:
    changed = tuple(verify_downloads.damaged(work, shard))
    if changed:
        reason = "the file is not what was downloaded"
        yield tuple(
            DownloadDropped(shard=number, source=each.source, reason=reason) for each in changed
        )
        return
    for entry in finish_shard.gather(work, number, shard):
        usd = None
        if isinstance(entry, Collected) and work.policy.max_cost is not None:
            usd = paid(shard.plan, shard.batch, entry.tally)
        yield entry if usd is None else (entry, Settled(shard=number, usd=usd))


def _cancel(work: Workplace, number: int, shard: ShardState) -> Entry:
    identifier = batch_of(shard).id
    try:
        batch = work.backend.cancel_batch(identifier)
    except Conflict:  # it has ended, or will not be stopped any more
        batch = work.backend.retrieve_batch(identifier)
    return CancelAsked(shard=number, batch=batch)


def _cancel_twin(work: Workplace, action: actions.CancelTwin) -> Entry:
    try:
        twin = work.backend.cancel_batch(action.batch_id)
    except Conflict:  # it has ended
        twin = work.backend.retrieve_batch(action.batch_id)
    return TwinSeen(shard=action.shard, batch=twin)
