"""Run every line of an input on any Backend, and write one result per line in input order.

`run` checks its arguments, opens the job and its journal, and leaves the rest to
batchsim.runner.engine.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.backends.constructor_checks import check_is
from batchsim.domain.limits import Limits
from batchsim.domain.parameter_checks import a_kind, is_text
from batchsim.errors import InputError, JobIncomplete, UnaccountedBatches, UsageError
from batchsim.jsonl import open_input
from batchsim.runner.effects.account import check_service
from batchsim.runner.effects.context import JobContext, JobFiles
from batchsim.runner.effects.leader_election import policy_for_copy
from batchsim.runner.engine import Loop
from batchsim.runner.job import JobDirectory, JobState, RequestLike, Session, fold
from batchsim.runner.job.remote_names import OUR_METADATA
from batchsim.runner.job.token_queues import KnownQueues
from batchsim.runner.journal import Journal
from batchsim.runner.journal.job_entries import Started
from batchsim.runner.planning.plan import Plan, make_plan
from batchsim.runner.planning.request_lines import changed_input
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.policy import Policy
from batchsim.runner.progress import Progress, Report
from batchsim.runner.progress.report import report
from batchsim.runner.schedule.agenda import Agenda
from batchsim.runner.synchronous.finish import check_policy
from batchsim.runner.webhook_notices import Notices

__all__ = ["Policy", "Progress", "Report", "run"]

Requests = str | os.PathLike[str] | Iterable[RequestLike]
"""An input: the path of a JSONL file, or its lines as text, bytes or objects."""


def run(
    requests: Requests,
    backend: Backend,
    *,
    results: str | os.PathLike[str],
    job: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    supports: Callable[[str], bool] | None = None,
    metadata: Mapping[str, str] | None = None,
    policy: Policy | None = None,
    skip_invalid: bool = False,
    observe: Callable[[Progress], None] | None = None,
    notices: Notices | None = None,
) -> Report:
    """Run every line of `requests` on `backend` and write one result per line, in input order.

    - `requests`: the path of an input file, or an iterable of lines.
    - `results`: the file to write. It appears when it is complete. Lines that the service wrote are
      passed through byte for byte; a line without a result gets a placeholder in the same format,
      whose `error.code` is `batch_failed` (or the code that the failed batch gave the
      line), `batch_expired`, `batch_cancelled` or `result_missing`.
    - `job`: the job directory, which lets the job continue; default `<results>.job`. For a finished
      job nothing is sent, and the same report is returned.
    - `limits`: how much one batch may hold, and the tokens that may be queued per model; default
      the backend's.
    - `supports`: which models are allowed; default those of the backend.
    - `metadata`: up to 10 pairs for every batch; keys that begin with `bs_` are reserved. Fixed
      when the job begins, as the plan is.
    - `policy`: how patient to be, how much at once, and what to do when in doubt.
    - `skip_invalid`: leave out invalid lines instead of refusing the input. Each gets a placeholder
      whose `error.code` says what is wrong with it. Fixed when the job begins.
    - `observe`: called with a Progress after every step, in this thread.
    - `notices`: from outside, that a batch has changed; it is polled at once.

    Raises InputError (InvalidInput, with all errors counted) or UsageError when nothing was sent;
    JournalError when the job directory is in use, damaged or belongs to another input;
    JobIncomplete when the job stopped before its end, and the same call continues it; and
    UnaccountedBatches when it ended, and the service has batches of the job that it did not make.
    """
    policy = Policy() if policy is None else policy
    limits = backend.limits if limits is None else limits
    _check_kinds(policy, limits, observe)
    check_policy(backend, policy)
    results = Path(results)
    directory = JobDirectory(
        Path(job) if job is not None else Path(f"{results}.job"), outlasts_power=backend.lasts
    )
    own = checked_metadata(metadata or {}, limits)
    source = Path(requests) if isinstance(requests, str | os.PathLike) else None
    _refuse_to_overwrite(results, directory, source)
    target = Path(os.path.realpath(results))  # a link stays, and what it points at is replaced
    path = policy.queue_memory
    memory = KnownQueues(path, backend.service, backend.account) if path else None
    limits = _with_queues(limits, policy, memory)
    supports = supports or backend.supports
    planned = partial(_plan, limits=limits, supports=supports, skip_invalid=skip_invalid)
    plan = None
    if not directory.journal.exists() or not directory.journal.stat().st_size:
        directory.check_journal(None)
    if source is not None and not directory.journal.exists():
        plan = planned(source)  # a bad input leaves no trace
    with _opened_journal(directory, policy) as journal:
        session = Session(directory.site)
        state = fold(journal.entries(), session)
        directory.check_journal(state.started.run if state.started else None)
        source = source or directory.spool(_lines(requests), has_begun=bool(state.started))
        moved = None
        if state.started is None:
            plan = plan or planned(source)
        else:
            plan = None
            moved = check_service(backend, state, policy)
            _check_input(source, state.started, state)
            _check_terms(state, own if metadata is not None else None, skip_invalid)
        policy = policy_for_copy(policy, state, session.site)
        again = partial(planned, skip_invalid=True)
        files = JobFiles(directory, source, target, again, plan.custom_ids if plan else None)
        context = JobContext(backend, files, Agenda(state, session, policy, limits))
        loop = Loop(journal, context, observe, notices)
        if plan is not None:
            loop.begin(plan, own)
        elif moved is not None:
            loop.move(moved)
        try:
            loop.run()
        finally:
            if memory is not None:
                memory.learn(state.queue_limits)
        _check_audit(state, results)
        return report(state, results, directory.ledger)


@contextmanager
def _opened_journal(directory: JobDirectory, policy: Policy) -> Iterator[Journal]:
    """Lock the job and open its journal. A failure of the disk while it is open stops the job."""
    rolls_back, lasts = policy.network_files, directory.outlasts_power
    try:
        with (
            directory.locked(network_files=policy.network_files),
            Journal(directory.journal, rolls_back=rolls_back, outlasts_power=lasts) as journal,
        ):
            yield journal
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise JobIncomplete(
            f"the job stopped: {place}{error.strerror or error}",
            hint="mend that, then give the same command again: it goes on from here",
        ) from error


def _check_kinds(policy: object, limits: object, observe: object) -> None:
    check_is("policy", policy, Policy, "give a Policy, such as Policy(retries=0)")
    check_is("limits", limits, Limits, "give a Limits, such as Limits(requests_per_batch=100)")
    if observe is not None and not callable(observe):
        raise UsageError(
            f"observe must be a function of a Progress, not {a_kind(observe)}",
            hint="give one that is called after every step: observe=print",
        )


def _with_queues(limits: Limits, policy: Policy, memory: KnownQueues | None) -> Limits:
    """Add the queue limits that are known: learned, then configured, then set by the user."""
    learned = memory.read() if memory is not None else {}
    queues = {**learned, **limits.enqueued_tokens, **policy.queue_limits}
    return replace(limits, enqueued_tokens=queues)


def _check_audit(state: JobState, results: Path) -> None:
    """Raise UnaccountedBatches when the service has batches that the journal did not know."""
    if not state.strays:
        return
    strays = "; ".join(_describe_stray(state, stray) for stray in state.strays)
    raise UnaccountedBatches(
        f"the results are whole, in {results}, but the service has batches of this job that its "
        f"journal did not know, and they may cost money: {strays}",
        hint="another runner with a copy of the job directory makes such batches",
    )


def _describe_stray(state: JobState, stray: str) -> str:
    twins = (twin for shard in state.shards.values() for twin in (*shard.twins, shard.batch))
    for twin in twins:
        if twin is not None and twin.id == stray:
            total = twin.usage.total_tokens
            tokens = f"{total:,} tokens" if total else "no usage"
            return f"{stray} ({twin.unknown_status or twin.status}, {tokens})"
    return stray


def _plan(
    source: Path, *, limits: Limits, supports: Callable[[str], bool], skip_invalid: bool
) -> Plan:
    try:
        with open_input(source) as stream:
            return make_plan(
                stream, path=source, limits=limits, supports=supports, skip_invalid=skip_invalid
            )
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path=source) from None


def _check_input(source: Path, started: Started, state: JobState) -> None:
    """Raise JournalError unless `source` holds, to the byte, the lines that were planned."""
    with open_input(source) as stream:
        size = stream.seek(0, os.SEEK_END)
    if size != started.bytes:
        raise changed_input(source, f"it has {size:,} bytes and had {started.bytes:,}")
    for shard in state.shards.values():
        with ShardContent(source, shard.plan) as content:
            content.read_through()


def _check_terms(state: JobState, metadata: Mapping[str, str] | None, skip_invalid: bool) -> None:  # noqa: FBT001
    """Raise UsageError when something differs that was fixed when the job began."""
    different = []
    if state.started and metadata is not None and metadata != state.started.metadata:
        different.append(f"its metadata are {dict(state.started.metadata)}, not {dict(metadata)}")
    if state.skipped is not None and not skip_invalid:
        skipped = counted(state.skipped.lines, "invalid line")
        different.append(f"it leaves out {skipped} (--skip-invalid)")
    if different:
        raise UsageError(
            f"the job was begun with other arguments: {'; '.join(different)}",
            hint="give the same ones to go on with it, or name another file for the results",
        )


def checked_metadata(metadata: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """Return the metadata. Raises UsageError when a batch cannot have them."""
    if not isinstance(metadata, Mapping):
        raise UsageError(
            f"the metadata must be a mapping of texts, not {a_kind(metadata)}",
            hint='give pairs, such as {"project": "translation"}',
        )
    room = limits.metadata_pairs - len(OUR_METADATA)
    if len(metadata) > room:
        raise UsageError(f"a batch has room for {room} pairs of metadata, not {len(metadata)}")
    for key, value in metadata.items():
        if not is_text(key) or not is_text(value):
            raise UsageError(f"the metadata {key!r}: {value!r} is not text")
        if key.startswith("bs_"):
            raise UsageError(f"the metadata key {key!r} is ours", hint="do not begin it with bs_")
        if len(key) > limits.metadata_key_characters:
            raise UsageError(f"the metadata key {key!r} is too long")
        if len(value) > limits.metadata_value_characters:
            raise UsageError(f"the metadata value of {key!r} is too long")
    return dict(metadata)


def _refuse_to_overwrite(results: Path, directory: JobDirectory, source: Path | None) -> None:
    """Raise UsageError when writing the results would destroy another file."""
    hint = "name another file for the results"
    try:
        if results.is_dir():
            raise UsageError(f"{results} is a directory", hint="name a file for the results")
        if not results.parent.is_dir():
            raise UsageError(f"the directory {results.parent} does not exist", hint="make it first")
        if results.exists() and not results.is_file():
            raise UsageError(f"{results} is not an ordinary file", hint=hint)
        if not os.access(os.path.realpath(results.parent), os.W_OK | os.X_OK):
            raise UsageError(f"nothing may be written into {results.parent}", hint=hint)
        if directory.owns(results):
            raise UsageError(f"{results} is the job's own file", hint=hint)
        if source and source.exists() and results.exists() and source.samefile(results):
            raise UsageError(f"{results} is the input itself", hint=hint)
        if directory.journal.exists() or not results.exists() or not results.stat().st_size:
            return
    except OSError as error:
        raise UsageError(f"{results}: {error.strerror}", hint=hint) from None
    raise UsageError(
        f"{results} exists and belongs to no job in {directory.path}",
        hint="name another file for the results, or move this one away",
    )


def _lines(requests: Requests) -> Iterator[RequestLike]:
    if isinstance(requests, bytes | Mapping) or not isinstance(requests, Iterable):
        raise UsageError(
            f"the requests are neither a path nor lines, but one {type(requests).__name__}",
            hint="a single request is a list of one",
        )
    yield from requests
