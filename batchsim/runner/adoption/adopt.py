"""Adopt batches that another tool or a person made, and finish them as a job.

Theory of operation. Adopting only prepares: it finds the batches, reads their lines
(batchsim.runner.adoption.takeover) and writes the journal of a job whose shards have these batches.
From then on it is a job like any other: the loop watches the batches, downloads, restores the order
and sends retriable lines again. Nothing is sent before the journal is whole, so a kill before that
costs nothing; after it the same command, or any that continues a job, continues this one.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.domain.limits import Limits
from batchsim.errors import NotFound, UsageError
from batchsim.jsonl import open_input, replace_file
from batchsim.runner.adoption.takeover import Takeover
from batchsim.runner.adoption.terms import BatchFilter, Terms
from batchsim.runner.effects.batch_list import every_batch
from batchsim.runner.job import JobDirectory
from batchsim.runner.job.remote_names import job_of, new_run
from batchsim.runner.journal import Journal
from batchsim.runner.journal.job_entries import Started
from batchsim.runner.journal.shard_entries import Created, Origin
from batchsim.runner.policy import Policy
from batchsim.runner.progress import Report
from batchsim.runner.run import checked_metadata, run

__all__ = ["Adopted", "BatchFilter", "adopt", "find"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """The batches that were adopted, how many lines the job has, and how many are in no batch.

    `unknown` are the batches whose input is gone. Of their lines only those with results are known,
    in the order of the results, and none of them is sent again.
    """

    batches: tuple[str, ...]
    lines: int
    unsent: int
    unknown: tuple[str, ...]


def adopt(
    wanted: BatchFilter,
    backend: Backend,
    *,
    results: str | os.PathLike[str],
    job: str | os.PathLike[str] | None = None,
    source: Path | None = None,
    limits: Limits | None = None,
    supports: Callable[[str], bool] | None = None,
    announce: Callable[[Adopted], object] | None = None,
    policy: Policy | None = None,
    **options: Any,
) -> Report:
    """Adopt batches, and finish them as a job.

    - `source`: the input from which the batches were made. The results are in its order, and lines
      that no batch holds are sent. Without it the input is put together from the batches' own.
    - `announce` is called with what was adopted, before anything is sent.
    - `policy`: with `alone`, batches of a job of our own are taken over as well.
    - Everything else is as for `batchsim.runner.run.run`. A job that was begun is continued.

    Raises UsageError when there are no such batches, when they cannot be one job, or when the job
    was begun with others.
    """
    directory = JobDirectory(Path(job) if job is not None else Path(f"{results}.job"))
    terms = Terms.of(wanted, source)
    if directory.journal.exists():
        terms.check(directory)
    else:
        if Path(results).exists():
            raise UsageError(
                f"{results} exists and belongs to no job in {directory.path}",
                hint="name another file for the results, or move this one away",
            )
        batches = find(wanted, backend, alone=policy is not None and policy.alone)
        with (
            directory.locked(),
            Takeover(backend, batches, limits or backend.limits) as takeover,
        ):
            terms.write(directory)
            adopted = _prepare(
                takeover,
                backend,
                directory,
                source,
                supports or backend.supports,
                checked_metadata(options.get("metadata") or {}, limits or backend.limits),
            )
        if announce is not None:
            announce(adopted)
    return run(
        source or directory.requests,
        backend,
        results=results,
        job=directory.path,
        limits=limits,
        supports=supports,
        policy=policy,
        **options,
    )


def find(wanted: BatchFilter, backend: Backend, *, alone: bool = False) -> list[Batch]:
    """Return the batches, oldest first. Raises UsageError unless all are there for the taking."""
    found = {}
    for identifier in wanted.ids:
        try:
            batch = backend.retrieve_batch(identifier)
        except NotFound as error:
            raise UsageError(
                error.message, hint="`batchsim batches list` shows those that this key can see"
            ) from None
        found[batch.id] = batch
    if wanted.metadata or wanted.input_file_id:
        matching = [batch for batch in every_batch(backend) if _matches(batch, wanted)]
        found |= {batch.id: batch for batch in reversed(matching)}
    if not found:
        raise UsageError(
            "there is no such batch", hint="`batchsim batches list` shows those that there are"
        )
    for batch in found.values():
        if "bs_run" in (batch.metadata or {}) and not alone:
            raise UsageError(
                f"{batch.id} belongs to a job of batchsim's own, which may be at work on it",
                hint="continue that job with the command that began it; if it has ended without "
                "this batch, say so with --alone",
            )
    return sorted(found.values(), key=lambda batch: batch.created_at)


def _matches(batch: Batch, wanted: BatchFilter) -> bool:
    if wanted.input_file_id is not None and batch.input_file_id == wanted.input_file_id:
        return True
    pairs = wanted.metadata.items()
    return bool(pairs) and pairs <= (batch.metadata or {}).items()


def _prepare(
    takeover: Takeover,
    backend: Backend,
    directory: JobDirectory,
    source: Path | None,
    supports: Callable[[str], bool],
    metadata: Mapping[str, str],
) -> Adopted:
    if source is None:
        with replace_file(directory.requests) as stream:
            takeover.read_batches(stream.write)
    else:
        takeover.read_batches(None)
    source = source or directory.requests
    lines, plans = takeover.plan(source, supports)
    if not plans:
        raise UsageError("the batches have no lines that are known", hint="give --input FILE")
    with open_input(source) as stream:
        size = stream.seek(0, os.SEEK_END)
    run_id = new_run()
    started = Started(
        run=run_id,
        job=job_of(run_id, backend.service, backend.account, plans),
        service=backend.service,
        account=backend.account,
        lines=lines,
        bytes=size,
        metadata=metadata,
    )
    by_shard = {found.number: found.batch for found in takeover.found}
    taken = [plan for plan in plans if plan.shard in by_shard]
    created = [
        Created(shard=plan.shard, batch=by_shard[plan.shard], adopted=True) for plan in taken
    ]
    with Journal(directory.journal) as journal:
        journal.append(backend.clock.now(), started, *plans, *created)
    return Adopted(
        batches=tuple(by_shard[plan.shard].id for plan in taken),
        lines=lines,
        unsent=sum(plan.lines for plan in plans if plan.shard not in by_shard),
        unknown=tuple(found.batch.id for found in takeover.found if found.origin is Origin.UNKNOWN),
    )
