"""Elect the runner of a job that may create batches: of several, the one that uploaded first.

Theory of operation. A job directory can be copied; two runners in two copies hold two locks and
write two journals, and the list may show one's batches to the other too late. But an input file
is uploaded before anything is paid, costs nothing, and its name tells the job and the runner's
site (`JobDirectory.site`, which no copy shares). So the first upload is a claim on the job. Its
runner waits for as long as a file may take to be listed (`ServiceTimes.claim_wait`), reads the
list, and creates batches only if no other site has an older file there. The later of two runners
sees the earlier one's file, however slow they are, so at most one goes on. The other stands back:
it creates nothing, and records the batches that the list shows.

The claim is on the job, once, so only the first batch waits. It ends when its runner deletes the
file (see `fence` in batchsim.runner.effects.submit). A file that is listed later than that is not
seen. The user of a directory that was moved, restored or lost has to confirm that no other runner
is at work (`Policy.alone`). The figures are in tests/faults/protocol_model.py.
"""

from collections.abc import Iterator
from dataclasses import replace

from batchsim.amounts import instant
from batchsim.domain.files import File
from batchsim.runner.effects.batch_list import SEARCH_PAGES, listed_since
from batchsim.runner.effects.context import Entries, JobContext
from batchsim.runner.effects.ownership import earliest_time
from batchsim.runner.job import JobState, ShardState, Stage
from batchsim.runner.job.remote_names import site_of
from batchsim.runner.journal import job_entries
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import UploadDropped
from batchsim.runner.policy import OnUnknown, Policy

_IN_DOUBT = frozenset({Stage.CREATING, Stage.UNKNOWN})
_CLAIMING = frozenset({Stage.UPLOADING, Stage.UPLOADED})


def check_claims(state: JobState, policy: Policy, site: str) -> Iterator[Entry]:
    """Yield what a process that begins at `site` must record: a copy has no claim of its own."""
    if policy.alone:
        if state.elected is None or state.elected.site != site:
            yield job_entries.Elected(site=site)
        return
    for number, shard in state.shards.items():
        if shard.stage in _CLAIMING and not _is_of(site, shard):
            yield UploadDropped(shard=number, reason="a runner at another site uploaded it")


def policy_for_copy(policy: Policy, state: JobState, site: str) -> Policy:
    """Let only the site of an unknown create fence it: its runner may still be at work on it."""
    shards = state.shards.values()
    in_doubt = (shard for shard in shards if shard.stage in _IN_DOUBT and not _is_of(site, shard))
    if policy.alone or not any(in_doubt):
        return policy
    return replace(policy, on_unknown=OnUnknown.STOP)


def elect(context: JobContext) -> Iterator[Entries]:
    state, site = context.state, context.agenda.session.site
    shards = state.shards.values()
    claims = {shard.file_id for shard in shards if shard.stage is Stage.UPLOADED}
    own: list[File] = []
    others: list[File] = []
    for file in listed_since(context.list_files, earliest_time(state), most=SEARCH_PAGES):
        named = site_of(file.filename, context.started)
        if named == site or file.id in claims:  # some services change names
            own.append(file)
        elif named is not None:
            others.append(file)
    if not own:
        until = context.backend.clock.now() + context.policy.polling.search
        yield job_entries.Delayed(
            until=until, reason="the list of files does not show what was uploaded"
        )
        return
    claim = min(own, key=_age)
    older = [file for file in others if _is_older(file, claim)]
    if older:
        first = min(older, key=_age)
        when = f" at {instant(first.created_at)}" if first.created_at else ""
        yield job_entries.StoodBack(
            reason=f"another runner of this job, at another site, uploaded {first.filename} "
            f"({first.id}) first{when}, and only one may create batches"
        )
    else:
        yield job_entries.Elected(site=site, file_id=claim.id)


def _is_of(site: str, shard: ShardState) -> bool:
    return shard.filename is None or shard.filename.endswith(f"-{site}.jsonl")


def _is_older(other: File, claim: File) -> bool:
    """Return whether `other` goes before `claim`; without times from the service it does."""
    if not other.created_at or not claim.created_at:
        return True
    return _age(other) < _age(claim)


def _age(file: File) -> tuple[float, str]:
    return file.created_at, file.id
