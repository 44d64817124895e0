"""Which of several runners of one job may create batches: the one that uploaded first.

Theory of operation. A job directory can be copied, and two runners in two copies hold two locks and
write two journals. What one creates the list of batches may show the other too late. But an input
file is uploaded before anything is paid, costs nothing, and has a name that tells of which job it
is and in which place its runner works (`JobDirectory.place`, which no copy shares). So the first
upload is a claim on the job: its runner waits for as long as a file may take to appear in the list
(`Policy.claim_wait`), reads the list, and creates batches only if no other place has an older file
there. The later of two sees the earlier, however slow either of them is, so one of them at most
goes on; the other stands back: it creates nothing, and takes over what the list shows.

The claim is on the job, once, so only the first batch waits. It ends when its runner deletes the
file (see `fence` in batchsim.runner.effects.submit). What it cannot see is a file that the list shows later
than that. Who moved a directory, restored or lost it has to say that no other runner is at work
(`Policy.alone`). The figures are in tests/faults/protocol_model.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from batchsim.amounts import instant
from batchsim.domain.files import File
from batchsim.runner.effects.batch_list import listed_since
from batchsim.runner.effects.context import Entries, JobContext
from batchsim.runner.effects.ownership import earliest_time
from batchsim.runner.job.remote_names import site_of
from batchsim.runner.job.shard_state import ShardState, Stage
from batchsim.runner.job.state import State
from batchsim.runner.journal.job_entries import Delayed, Elected, Entry, Placed, StoodBack
from batchsim.runner.journal.shard_entries import UploadDropped
from batchsim.runner.policy import OnUnknown, Policy

_IN_DOUBT = frozenset({Stage.CREATING, Stage.UNKNOWN})
_CLAIMING = frozenset({Stage.UPLOADING, Stage.UPLOADED})


def take_place(state: State, policy: Policy, site: str) -> Iterator[Entry]:
    """What a process that begins in `place` has to note: a copy has no claim of its own."""
    yield Placed(site=site)
    if policy.alone:
        if state.elected is None or state.elected.site != site:
            yield Elected(site=site)
        return
    for number, shard in state.shards.items():
        if shard.stage in _CLAIMING and not _is_of(site, shard):
            yield UploadDropped(shard=number, reason="a runner at another site uploaded it")


def policy_for_copy(policy: Policy, state: State, site: str) -> Policy:
    """The policy, for a journal that may be a copy.

    Whoever sent a create whose outcome it does not know may be at work on it: only that runner may
    delete the file and create again.
    """
    others = (s for s in state.shards.values() if s.stage in _IN_DOUBT and not _is_of(site, s))
    if policy.alone or not any(others):
        return policy
    return replace(policy, on_unknown=OnUnknown.STOP)


def elect(context: JobContext) -> Iterator[Entries]:
    """See whether the oldest file of the job in the list is from here."""
    state, site = context.state, context.state.site
    claims = {s.file_id for s in state.shards.values() if s.stage is Stage.UPLOADED}
    own: list[File] = []
    others: list[File] = []
    for file in listed_since(context.files, earliest_time(state)):
        told = site_of(file.filename, context.started)
        if told == site or file.id in claims:  # there are services that change names
            own.append(file)
        elif told is not None:
            others.append(file)
    if not own:
        until = context.backend.clock.now() + context.policy.look_again
        yield Delayed(until=until, reason="the list of files does not show what was uploaded")
        return
    claim = min(own, key=_age)
    older = [file for file in others if _is_older(file, claim)]
    if older:
        first = min(older, key=_age)
        when = f" at {instant(first.created_at)}" if first.created_at else ""
        yield StoodBack(
            reason=f"another runner of this job, at another site, uploaded {first.filename} "
            f"({first.id}) first{when}, and only one may create batches"
        )
    else:
        yield Elected(site=site, file_id=claim.id)


def _is_of(site: str, shard: ShardState) -> bool:
    return shard.filename is None or shard.filename.endswith(f"-{site}.jsonl")


def _is_older(other: File, claim: File) -> bool:
    """Whether `other` goes before `claim`; it does where the service does not tell the times."""
    if not other.created_at or not claim.created_at:
        return True
    return _age(other) < _age(claim)


def _age(file: File) -> tuple[float, str]:
    return file.created_at, file.id
