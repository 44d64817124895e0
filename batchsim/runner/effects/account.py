"""Check that a job goes on where it began: at the same service, with the same account."""

from batchsim.backends import Backend
from batchsim.errors import JournalError, NotFound
from batchsim.runner.job import JobState
from batchsim.runner.journal.job_entries import AccountChanged
from batchsim.runner.policy import Policy


def check_service(backend: Backend, state: JobState, policy: Policy) -> AccountChanged | None:
    """Return the change to record when the policy allows another key of the same account.

    Raises JournalError when the job began at another service, when the key is another and the
    policy does not allow it, and when the key does not show what the job has made.
    """
    started = state.started
    if started is None:
        return None
    if backend.service != started.service:
        raise JournalError(
            f"the job was begun on {started.service} and cannot go on at {backend.service}",
            hint="give the same backend as then, or another results file",
        )
    if not started.account or backend.account == started.account:
        return None
    if not policy.same_account:
        raise JournalError(
            f"the job was begun with another key, organization or project of {backend.service}",
            hint="give the key with which it began: another may not see its batches, and what "
            "cannot be seen might be paid for again. If the present key replaces it in the same "
            "project, say so once: --same-account",
        )
    _check_visible(backend, state)
    return AccountChanged(account=backend.account)


def _check_visible(backend: Backend, state: JobState) -> None:
    """Raise JournalError when the key does not show the job's latest batch or file."""
    shards = state.shards.values()
    batches = [shard.batch for shard in shards if shard.batch is not None]
    files = [shard.file_id for shard in shards if shard.file_id and not shard.is_fenced]
    try:
        if batches:
            made = max(batches, key=lambda batch: batch.created_at).id
            backend.retrieve_batch(made)
        elif files:
            made = files[-1]
            backend.retrieve_file(made)
    except NotFound:
        raise JournalError(
            f"this key does not show {made}, which the job made: its account is another",
            hint="give a key of the project in which the job began",
        ) from None
