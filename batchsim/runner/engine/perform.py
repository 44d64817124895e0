"""Perform actions: the only part of the runner that speaks to the backend.

Theory of operation. Each action is a generator of journal entries, of which some belong together.
The loop writes them to the journal before it asks for the next ones. So a request that is sent
between two entries is sent with its intent already on the disk, and crash tests need only stop
between two entries. An exception ends the action where it stands, which is always a state that the
next process can read.

Failures become entries here. A request that surely had no effect is repeated later (Postponed),
one that was refused for good blocks its shard (Blocked), and one whose outcome is unknown leaves
the stage as the intent made it, so that the next step is to search.
"""

from collections.abc import Callable, Iterator, Mapping

from batchsim import errors
from batchsim.domain.batches import Batch
from batchsim.runner.effects import (
    batch_list,
    delete,
    download,
    finish_shard,
    leader_election,
    submit,
    verify_downloads,
)
from batchsim.runner.effects.context import Entries, JobContext, batch_of, reason_of
from batchsim.runner.job import ShardState
from batchsim.runner.journal import job_entries, shard_entries
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.planning.token_bounds import divide, weigh
from batchsim.runner.schedule import actions
from batchsim.runner.schedule.budget import batch_cost
from batchsim.runner.synchronous import finish


def perform(context: JobContext, action: actions.Action) -> Iterator[tuple[Entry, ...]]:
    """Do `action`; yield the entries that are to be journalled together."""
    for step in _guarded(context, action):
        if not isinstance(step, tuple):
            yield (step,)
        elif step:
            yield step


def _guarded(context: JobContext, action: actions.Action) -> Iterator[Entries]:
    if isinstance(action, actions.BeginFinish):
        yield job_entries.FinishBegun()
    elif not isinstance(action, actions.ShardAction):
        try:
            yield from _for_job(context, action)
        except (errors.Unavailable, errors.RateLimited) as error:
            until = context.next_try(context.agenda.session.setback, error)
            yield job_entries.Delayed(until=until, reason=reason_of(error))
        except errors.AuthenticationFailed:
            raise
        except errors.Refused as error:
            reads_results = isinstance(action, actions.PlanRound | actions.Assemble)
            what = "results" if reads_results else "lists"
            yield job_entries.Halted(reason=f"the {what} cannot be read: {reason_of(error)}")
    else:
        try:
            yield from _for_shard(context, action)
        except (errors.Unavailable, errors.OutcomeUnknown, errors.RateLimited) as error:
            yield context.postponed(action.shard, error)
        except errors.Refused as error:
            yield shard_entries.Blocked(shard=action.shard, reason=reason_of(error))


def _for_job(context: JobContext, action: actions.Action) -> Iterator[Entries]:
    match action:
        case actions.Reconcile():
            yield from batch_list.reconcile(context)
        case actions.Elect():
            yield from leader_election.elect(context)
        case actions.Survey():
            yield from batch_list.survey(context, action.after)
        case actions.Audit():
            yield from batch_list.audit(context)
        case actions.PlanRound():
            verify_downloads.mend(context)
            yield finish_shard.next_round(context)
        case actions.Assemble():
            verify_downloads.mend(context)
            yield finish_shard.write_results(context)


def _for_shard(context: JobContext, action: actions.ShardAction) -> Iterator[Entries]:  # noqa: C901 - one case per kind of action
    number, shard = action.shard, context.state.shards[action.shard]
    if type(action) in _EFFECTS:
        yield from _EFFECTS[type(action)](context, number, shard)
        return
    match action:
        case actions.AbandonCreate():
            yield shard_entries.CreateAbandoned(shard=number)
        case actions.LeaveCreate():
            yield shard_entries.CreateLeft(shard=number)
        case actions.Poll():
            yield batch_list.poll(context, number, shard)
        case actions.CancelTwin():
            twin = _cancelled(context, action.batch_id)
            yield shard_entries.TwinSeen(shard=number, batch=twin)
        case actions.CancelBatch():
            batch = _cancelled(context, batch_of(shard).id)
            yield shard_entries.BatchCancelRequested(shard=number, batch=batch)
        case actions.GiveUpBatch():
            reasons = "; ".join(error.message for error in batch_of(shard).errors[:1])
            reason = f"{batch_of(shard).id} failed: {reasons}"
            yield shard_entries.BatchGivenUp(shard=number, reason=reason)
        case actions.Download():
            yield download.download(context, action, shard)
        case actions.Weigh():
            yield weigh(context.files.source, shard.plan)
        case actions.Divide():
            last = max(context.state.last_shards.values())
            parts = divide(
                context.files.source, shard.plan, context.agenda.limits, action.tokens, after=last
            )
            yield shard_entries.Divided(shard=number), *parts


def _collect(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    changed = tuple(verify_downloads.damaged(context, shard))
    if changed:
        reason = "the file is not what was downloaded"
        yield tuple(
            shard_entries.DownloadDropped(shard=number, source=each.source, reason=reason)
            for each in changed
        )
        return
    for entry in finish_shard.gather(context, number, shard):
        usd = None
        if isinstance(entry, shard_entries.Collected) and context.policy.max_cost is not None:
            usd = batch_cost(shard.plan, shard.batch, entry.tally, entry.differences)
        yield entry if usd is None else (entry, shard_entries.CostRecorded(shard=number, usd=usd))


def _cancelled(context: JobContext, batch_id: str) -> Batch:
    try:
        return context.backend.cancel_batch(batch_id)
    except errors.Conflict:  # it has ended, or can no longer be stopped
        return context.backend.retrieve_batch(batch_id)


_EFFECTS: Mapping[
    type[actions.ShardAction], Callable[[JobContext, int, ShardState], Iterator[Entries]]
] = {
    actions.AnswerLines: finish.answer_lines,
    actions.Collect: _collect,
    actions.Create: submit.create,
    actions.DeleteRemote: delete.delete_remote,
    actions.FenceCreate: submit.fence,
    actions.FindBatch: submit.find_batch,
    actions.FindUpload: submit.find_upload,
    actions.Upload: submit.upload,
}
