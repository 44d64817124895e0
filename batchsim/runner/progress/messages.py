"""Messages: one line of text for each entry of a job's journal."""

from dataclasses import dataclass

from batchsim.amounts import counted, duration
from batchsim.domain.lifecycle import Status
from batchsim.runner.job import JobState, Session, ShardState
from batchsim.runner.journal import job_entries, shard_entries
from batchsim.runner.policy import OnUnknown, Policy

_STEPS = (
    shard_entries.Weighed | shard_entries.UploadIntended | shard_entries.Uploaded
    | shard_entries.CreateIntended | shard_entries.Created | shard_entries.Observed
    | shard_entries.BatchCancelRequested | shard_entries.Downloaded | shard_entries.Collected
    | shard_entries.CostRecorded | shard_entries.RemoteDeleted
)  # fmt: skip
"""Entries that every shard has."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that happened, in words. `is_routine` when it happens to every shard."""

    text: str = ""
    shard: int | None = None
    is_routine: bool = False


def describe(entry: job_entries.Entry, state: JobState, session: Session) -> Message:
    if not isinstance(entry, job_entries.ShardEntry):
        return Message(_describe_job(entry, state))
    text = _describe_shard(entry)
    if isinstance(entry, shard_entries.Uploaded) and not state.may_create(session.site):
        text += "; waiting to see that no other runner was first (--alone: at once)"
    is_routine = isinstance(entry, _STEPS) and not _is_odd(entry)
    return Message(text, entry.shard, is_routine)


def describe_search(shard: ShardState, policy: Policy, now: float) -> Message:
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
    if isinstance(entry, job_entries.Started):
        invalid = state.skipped.lines if state.skipped else 0
        valid = counted(entry.lines - invalid, "line is valid", "lines are valid")
        left_out = f", {counted(invalid, 'is not and is', 'are not and are')} left out"
        return valid + (left_out if invalid else "")
    return _by_kind(entry)


def _describe_shard(entry: job_entries.ShardEntry) -> str:
    match entry:
        case shard_entries.Planned():
            lines = counted(entry.lines, "line")
            return f"{lines} for {entry.model or 'no model'} at {entry.endpoint}"
        case shard_entries.Uploaded():
            return f"{'found the upload' if entry.adopted else 'uploaded'} as {entry.file_id}"
        case shard_entries.Created():
            return f"{'found' if entry.adopted else 'created'} {entry.batch.id}"
        case shard_entries.Observed() | shard_entries.BatchCancelRequested():
            return f"{entry.batch.id} is {entry.batch.unknown_status or entry.batch.status}"
    return _by_kind(entry)


def _by_kind(entry: job_entries.Entry) -> str:
    return _TEXTS.get(type(entry), type(entry).__name__).format(entry)


_TEXTS: dict[type, str] = {
    job_entries.AccountChanged: "the job goes on with another key of the same account",
    job_entries.FinishBegun: "the deadline nears: sending what is left without batches",
    job_entries.RoundPlanned: "round {0.round}: sending lines again",
    job_entries.CancelRequested: "the job is cancelled: nothing more is sent, what is done is kept",
    job_entries.Finished: "the results are written",
    job_entries.Audited: "the service has {0.batches:,} batches of this job",
    job_entries.Delayed: "{0.reason}; trying again",
    job_entries.Halted: "{0.reason}",
    job_entries.StoodBack: "{0.reason}",
    shard_entries.Divided: "too large for its model's queue; divided",
    shard_entries.CostRecorded: "cost ${0.usd}",
    shard_entries.Weighed: "about {0.tokens:,} tokens of prompt",
    shard_entries.UploadIntended: "uploading the input file",
    shard_entries.UploadDropped: "no file to use: {0.reason}",
    shard_entries.CreateRefused: "no batch was created",
    shard_entries.BatchGivenUp: "{0.reason}",
    shard_entries.Blocked: "{0.reason}",
    shard_entries.CreateIntended: "creating a batch",
    shard_entries.CreateUnknown: "{0.reason}; looking for the batch",
    shard_entries.CreateFenced: "the input file was deleted, so that no late request can use it",
    shard_entries.CreateNotFound: "the batch is not in the list",
    shard_entries.TwinSeen: "{0.batch.id} is there besides its own batch",
    shard_entries.CreateLeft: "the batch was not found and may exist; its lines are not sent again",
    shard_entries.CreateAbandoned: "the batch was not found, and its input file is gone",
    shard_entries.Downloaded: "downloaded {0.file_id}, {0.bytes:,} bytes",
    shard_entries.RemoteDeleted: "deleted {0.file_id} at the service",
    shard_entries.RemoteKept: "{0.file_id} is left at the service: it is no result file of the job",
    shard_entries.DownloadDropped: "{0.reason}",
    shard_entries.FileGone: "the {0.source} file is gone: {0.reason}",
    shard_entries.Collected: "{0.tally.ok:,} of {0.tally.lines:,} lines have a good result",
    shard_entries.Postponed: "{0.reason}; trying again",
}
