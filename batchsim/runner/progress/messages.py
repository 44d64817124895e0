"""Messages: one line of text for each entry of a job's journal."""

from __future__ import annotations

from dataclasses import dataclass

from batchsim.amounts import counted, duration
from batchsim.domain.lifecycle import Status
from batchsim.runner.job import JobState, Session, ShardState
from batchsim.runner.journal import job_entries, shard_entries
from batchsim.runner.policy import OnUnknown, Policy

_STEPS = (
    shard_entries.Weighed
    | shard_entries.UploadIntended
    | shard_entries.Uploaded
    | shard_entries.CreateIntended
    | shard_entries.Created
    | shard_entries.Observed
    | shard_entries.BatchCancelRequested
    | shard_entries.Downloaded
    | shard_entries.Collected
    | shard_entries.CostRecorded
    | shard_entries.RemoteDeleted
)
"""Entries that every shard has."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that happened, in words, and the shard that it happened to, if it was one.

    `is_routine` when it happens to every shard.
    """

    text: str = ""
    shard: int | None = None
    is_routine: bool = False


def describe(entry: job_entries.Entry, state: JobState, session: Session) -> Message:
    """Return the message about an entry that left the job in `state`."""
    if not isinstance(entry, job_entries.ShardEntry):
        return Message(_describe_job(entry, state))
    text = _describe_shard(entry)
    if isinstance(entry, shard_entries.Uploaded) and not state.may_create(session.site):
        text += "; waiting to see that no other runner was first (--alone: at once)"
    is_routine = isinstance(entry, _STEPS) and not _is_odd(entry)
    return Message(text, entry.shard, is_routine)


def describe_search(shard: ShardState, policy: Policy, now: float) -> Message:
    """Return the message about a search for the batch of an unanswered create."""
    waits = policy.on_unknown == OnUnknown.WAIT and not shard.is_fenced
    longest = policy.service_times.window if waits else policy.list_lag
    text = (
        f"no answer came to the create; looking for its batch for {duration(now - shard.since)}, "
        f"for {duration(longest)} at most"
    )
    return Message(text, shard.plan.shard)


def _is_odd(entry: job_entries.ShardEntry) -> bool:
    match entry:
        case shard_entries.Uploaded(adopted=True) | shard_entries.Created(adopted=True):
            return True
        case shard_entries.Created() | shard_entries.Observed():
            return entry.batch.status in (Status.FAILED, Status.EXPIRED)
    return False


def _describe_job(entry: job_entries.Entry, state: JobState) -> str:
    match entry:
        case job_entries.Started():
            invalid = state.skipped.lines if state.skipped else 0
            valid = counted(entry.lines - invalid, "line is valid", "lines are valid")
            left_out = f", {counted(invalid, 'is not and is', 'are not and are')} left out"
            return valid + (left_out if invalid else "")
        case job_entries.AccountChanged():
            return "the job goes on with another key of the same account"
        case job_entries.FinishBegun():
            return "the deadline nears: asking for what is left without batches"
        case job_entries.RoundPlanned():
            return f"round {entry.round}: sending lines again"
        case job_entries.CancelRequested():
            return "the job is cancelled: nothing more is sent, what is done is kept"
        case job_entries.Finished():
            return "the results are written"
        case job_entries.Audited():
            return f"the service has {entry.batches:,} batches of this job"
        case job_entries.Delayed():
            return f"{entry.reason}; trying again"
        case job_entries.Halted() | job_entries.StoodBack():
            return entry.reason
    return type(entry).__name__


def _describe_shard(entry: job_entries.ShardEntry) -> str:  # noqa: C901 - one case per kind of entry
    match entry:
        case shard_entries.Planned():
            lines = counted(entry.lines, "line")
            return f"{lines} for {entry.model or 'no model'} at {entry.endpoint}"
        case shard_entries.Divided():
            return "too large for its model's queue; divided"
        case shard_entries.CostRecorded():
            return f"cost ${entry.usd}"
        case shard_entries.Weighed():
            return f"about {entry.tokens:,} tokens of prompt"
        case shard_entries.UploadIntended():
            return "uploading the input file"
        case shard_entries.Uploaded():
            return f"{'found the upload' if entry.adopted else 'uploaded'} as {entry.file_id}"
        case shard_entries.UploadDropped():
            return f"no file to use: {entry.reason}"
        case shard_entries.CreateRefused():
            return "no batch was created"
        case shard_entries.BatchGivenUp() | shard_entries.Blocked():
            return entry.reason
        case shard_entries.CreateIntended():
            return "creating a batch"
        case shard_entries.CreateUnknown():
            return f"{entry.reason}; looking for the batch"
        case shard_entries.CreateFenced():
            return "the input file was deleted, so that no late request can use it"
        case shard_entries.CreateNotFound():
            return "the batch is not in the list"
        case shard_entries.TwinSeen():
            return f"{entry.batch.id} is there besides its own batch"
        case shard_entries.CreateLeft():
            return "the batch was not found and may exist; its lines are not asked for again"
        case shard_entries.CreateAbandoned():
            return "the batch was not found, and the input is no longer there for a late one"
        case shard_entries.Created():
            return f"{'found' if entry.adopted else 'created'} {entry.batch.id}"
        case shard_entries.Observed() | shard_entries.BatchCancelRequested():
            return f"{entry.batch.id} is {entry.batch.unknown_status or entry.batch.status}"
        case shard_entries.Downloaded():
            return f"downloaded {entry.file_id}, {entry.bytes:,} bytes"
        case shard_entries.RemoteDeleted():
            return f"deleted {entry.file_id} at the service"
        case shard_entries.DownloadDropped():
            return entry.reason
        case shard_entries.FileGone():
            return f"the {entry.source} file is gone: {entry.reason}"
        case shard_entries.Collected():
            return f"{entry.tally.ok:,} of {entry.tally.lines:,} lines have a good result"
        case shard_entries.Postponed():
            return f"{entry.reason}; trying again"
    return type(entry).__name__
