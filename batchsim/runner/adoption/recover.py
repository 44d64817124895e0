"""A job whose journal is lost, rebuilt from what its service still shows.

Theory of operation. A plan is a function of the input, so planning again gives the shards that were
sent. Every batch of ours says in its metadata which run made it and of which shard it is, and names
the job by a hash of the run, of where it runs and of what it sends: the same hash over the plan at
hand proves that the batch is of this input. Where that cannot be (the address is written in another
way, or the key is another), the names of the input files tell, which end in a hash of their content.
The new journal begins as the lost one did, with the batches found; what it lacks beyond them the
job finds by itself when it goes on, since it looks for a batch before it makes one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.errors import NotFound
from batchsim.runner.effects.batch_list import listed_since
from batchsim.runner.effects.ownership import new_batches
from batchsim.runner.job import JobDirectory, JobState, fold
from batchsim.runner.job.remote_names import OUR_METADATA, holds, job_of, shard_of
from batchsim.runner.journal import Journal
from batchsim.runner.journal.job_entries import Elected, Entry, Started
from batchsim.runner.planning.plan import Plan


class Trace(NamedTuple):
    """What a service shows of one run: its batches, the oldest first."""

    run: str
    job: str
    batches: tuple[Batch, ...]

    @property
    def begun(self) -> int:
        """When its first batch was made, in unix seconds."""
        return self.batches[0].created_at


def traces(backend: Backend) -> list[Trace]:
    """Every run of batchsim in the service's list of batches, the latest first."""
    by_run: dict[str, list[Batch]] = defaultdict(list)
    pages = listed_since(lambda after: backend.list_batches(limit=100, after=after))
    for batch in pages:
        run = (batch.metadata or {}).get("bs_run")
        if run:
            by_run[run].append(batch)
    found = []
    for run, batches in by_run.items():
        ordered = tuple(sorted(batches, key=lambda batch: (batch.created_at, batch.id)))
        found.append(Trace(run, (ordered[0].metadata or {}).get("bs_job", ""), ordered))
    return sorted(found, key=lambda trace: trace.begun, reverse=True)


def is_of_input(backend: Backend, trace: Trace, plan: Plan) -> bool:
    """Whether the run sent the input that was planned."""
    if trace.job == job_of(trace.run, backend.service, backend.account, plan.shards):
        return True
    known = [_sent_as_planned(backend, batch, plan) for batch in trace.batches]
    return any(known) and False not in known


def _sent_as_planned(backend: Backend, batch: Batch, plan: Plan) -> bool | None:
    """Whether the batch's input file is a shard of the plan; None when that cannot be told."""
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


def write_journal(backend: Backend, trace: Trace, plan: Plan, directory: JobDirectory) -> JobState:
    """Begin the job's journal anew, with the batches of `trace`; the state that it tells.

    Raises JournalError when the directory cannot be taken.
    """
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
        if plan.skipped:
            plan.skipped.write(directory)
        skipped = [plan.skipped.entry()] if plan.skipped else []
        elected = Elected(site=directory.site)  # a job is recovered that no runner is at work on
        journal.append(float(trace.begun), started, *skipped, *plan.shards, elected)
        state = fold(journal.entries())
        for entries in _found(state, trace):
            now = backend.clock.now()
            journal.append(now, *entries)
            for entry in entries:
                state.apply(now, entry)
    return state


def _found(state: JobState, trace: Trace) -> Iterator[tuple[Entry, ...]]:
    yield from new_batches(state, trace.batches)
