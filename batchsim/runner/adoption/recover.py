"""Recover a job whose journal is lost from what its service still shows.

Theory of operation. A plan follows from the input, so planning again gives the shards that were
sent. The metadata of every batch of ours hold its run, its shard, and a hash of the run, of the
service and of what the job sends: the same hash over the new plan proves that the batch is of this
input. If the hash differs (the address is written in another way, or the key is another), the names
of the input files decide, which end in a hash of their content. The new journal begins as the lost
one did, with the batches found. The job itself finds what else is missing when it continues, since
it looks for a batch before it creates one.
"""

from collections import defaultdict
from typing import NamedTuple

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.errors import NotFound
from batchsim.runner.effects.batch_list import every_batch
from batchsim.runner.effects.ownership import new_batches
from batchsim.runner.job import JobDirectory, JobState, fold
from batchsim.runner.job.remote_names import OUR_METADATA, holds, job_of, shard_of
from batchsim.runner.journal import Journal
from batchsim.runner.journal.job_entries import Elected, Started
from batchsim.runner.planning.plan import Plan


class RemoteRun(NamedTuple):
    """One run at a service: its batches, the oldest first."""

    run: str
    job: str
    batches: tuple[Batch, ...]

    @property
    def begun(self) -> int:
        """The time of its first batch, in unix seconds."""
        return self.batches[0].created_at


def remote_runs(backend: Backend) -> list[RemoteRun]:
    """Return every run of batchsim in the service's list of batches, the latest first."""
    by_run: dict[str, list[Batch]] = defaultdict(list)
    for batch in every_batch(backend):
        run = (batch.metadata or {}).get("bs_run")
        if run:
            by_run[run].append(batch)
    found = []
    for run, batches in by_run.items():
        ordered = tuple(sorted(batches, key=lambda batch: (batch.created_at, batch.id)))
        found.append(RemoteRun(run, (ordered[0].metadata or {}).get("bs_job", ""), ordered))
    return sorted(found, key=lambda trace: trace.begun, reverse=True)


def is_of_input(backend: Backend, trace: RemoteRun, plan: Plan) -> bool:
    if trace.job == job_of(trace.run, backend.service, backend.account, plan.shards):
        return True
    known = [_sent_as_planned(backend, batch, plan) for batch in trace.batches]
    return any(known) and False not in known


def _sent_as_planned(backend: Backend, batch: Batch, plan: Plan) -> bool | None:
    """Compare the batch's input file with its shard of the plan; None when it cannot be known."""
    number = shard_of(batch.metadata)
    is_first_round = (batch.metadata or {}).get("bs_round") == "0"
    if number is None or not is_first_round:
        return None
    try:
        name = backend.retrieve_file(batch.input_file_id).filename
    except NotFound:
        return None
    shard = next((each for each in plan.shards if each.shard == number), None)
    return shard is not None and holds(name, shard)


def write_journal(
    backend: Backend, trace: RemoteRun, plan: Plan, directory: JobDirectory
) -> JobState:
    """Write a new journal with the batches of `trace`. Raises JournalError when it is taken."""
    user = {
        key: value
        for key, value in (trace.batches[0].metadata or {}).items()
        if key not in OUR_METADATA
    }
    started = Started(
        run=trace.run,
        job=trace.job,
        service=backend.service,
        account=backend.account,
        lines=plan.lines,
        bytes=plan.bytes,
        metadata=user,
    )
    with directory.locked(), Journal(directory.journal) as journal:
        elected = Elected(site=directory.site)  # no runner is at work on the job
        journal.append(float(trace.begun), started, *plan.entries(directory), elected)
        state = fold(journal.entries())
        for entries in new_batches(state, trace.batches):
            now = backend.clock.now()
            journal.append(now, *entries)
            for entry in entries:
                state.apply(now, entry)
    return state
