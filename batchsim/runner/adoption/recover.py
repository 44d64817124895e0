"""Recover a job whose journal is lost from what its service still shows.

Theory of operation. A plan follows from the input, so planning again gives the shards that were
sent. The metadata of every batch of ours hold its run, its shard, and a hash of the run, of the
service and of what the job sends: the same hash over the new plan proves that the batch is of this
input. If the hash differs (the address is written in another way, or the key is another), the names
of the input files decide, which end in a hash of their content. Metadata can be copied to a batch
of another input, so every batch's input is checked (batchsim.runner.effects.input_check). The new
journal begins as the lost
one did, with the batches found. The job itself finds what else is missing when it continues, since
it looks for a batch before it creates one.
"""

from collections import defaultdict
from typing import NamedTuple

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.runner.effects.batch_list import every_batch
from batchsim.runner.effects.input_check import runs_lines_of
from batchsim.runner.effects.ownership import new_batches
from batchsim.runner.job import JobDirectory, JobState, fold
from batchsim.runner.job.remote_names import OUR_METADATA, job_of, shard_of
from batchsim.runner.journal import Journal
from batchsim.runner.journal.job_entries import Elected, Started
from batchsim.runner.journal.shard_entries import TwinSeen
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
    found = list(_checked(backend, trace, plan).values())
    return any(True in verdicts for verdicts in found) and all(
        True in verdicts or False not in verdicts for verdicts in found
    )


def _checked(
    backend: Backend, trace: RemoteRun, plan: Plan
) -> dict[int, dict[bool | None, list[Batch]]]:
    """Return the batches of each planned shard by whether their input holds its lines.

    None stands for batches whose input is gone. Where a shard has several batches, their contents
    are compared, since a copied batch may have a copied file name too.
    """
    plans = {shard.shard: shard for shard in plan.shards}
    of_shard: dict[int, list[Batch]] = defaultdict(list)
    for batch in trace.batches:
        number = shard_of(batch.metadata)
        if number in plans and (batch.metadata or {}).get("bs_round") == "0":
            of_shard[number].append(batch)
    checked: dict[int, dict[bool | None, list[Batch]]] = {}
    for number, batches in of_shard.items():
        checked[number] = defaultdict(list)
        for batch in batches:
            verdict = runs_lines_of(backend, batch, plans[number], reads=len(batches) > 1)
            checked[number][verdict].append(batch)
    return checked


def write_journal(
    backend: Backend, trace: RemoteRun, plan: Plan, directory: JobDirectory
) -> JobState:
    """Write a new journal with the batches of `trace`, and return the job's state.

    Batches with another input are left out; those whose input is gone yield to the others.

    Raises JournalError when the directory cannot be taken.
    """
    checked = _checked(backend, trace, plan)
    ours = [batch for verdicts in checked.values() for batch in verdicts.get(True, ())]
    gone = [batch for verdicts in checked.values() for batch in verdicts.get(None, ())]
    first = min(ours, key=lambda batch: (batch.created_at, batch.id), default=trace.batches[0])
    user = {key: value for key, value in (first.metadata or {}).items() if key not in OUR_METADATA}
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
        has_batch = {shard_of(batch.metadata) for batch in ours}
        alone = [batch for batch in gone if shard_of(batch.metadata) not in has_batch]
        twins = [
            TwinSeen(shard=number, batch=batch)
            for number, verdicts in checked.items()
            if number in has_batch
            for batch in verdicts.get(None, ())
        ]
        for entries in (*new_batches(state, [*ours, *alone]), tuple(twins)):
            now = backend.clock.now()
            journal.append(now, *entries)
            for entry in entries:
                state.apply(now, entry)
    return state
