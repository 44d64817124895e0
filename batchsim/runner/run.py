"""Many lines through any Backend: results in input order, each line in exactly one account.

Theory of operation. One loop: decide what is due, do it, record what happened, until the results
are written or nothing more can be done. The job is the fold of its journal, so a job that was
stopped anywhere, by whatever, is continued by starting the same loop on the same journal.

    entries --fold--> state --decide--> actions --perform--> entries

Only this loop writes the journal and changes the state; only `perform` speaks to the backend; only
the backend's clock is asked for the time and slept on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from batchsim.backends import Backend
from batchsim.domain.limits import Limits
from batchsim.domain.parameters import is_text
from batchsim.errors import InputError, JobIncomplete, UnaccountedBatches, UsageError
from batchsim.jsonl import open_input
from batchsim.runner import copies, settle
from batchsim.runner.accounts import check_service
from batchsim.runner.actions import Action, Done, Download, Stop, Upload, Wait
from batchsim.runner.agenda import Agenda
from batchsim.runner.content import ShardContent, changed_input
from batchsim.runner.crew import Crew
from batchsim.runner.decide import decide
from batchsim.runner.directory import JobDirectory, RequestLike
from batchsim.runner.entries import (
    AccountChanged,
    Audited,
    CancelRequested,
    Entry,
    Reconciled,
    Started,
    Surveyed,
)
from batchsim.runner.finishing import check_policy
from batchsim.runner.journal import Journal
from batchsim.runner.naming import OUR_METADATA, job_of, new_run
from batchsim.runner.notices import Notices
from batchsim.runner.perform import perform
from batchsim.runner.plan import Plan, make_plan
from batchsim.runner.policy import Policy
from batchsim.runner.queues import KnownQueues
from batchsim.runner.report import Progress, Report, describe, describe_search, progress, report
from batchsim.runner.shard_entries import (
    AnswerIntended,
    AnswerSettled,
    CreateIntended,
    CreateUnknown,
    Looked,
    Noticed,
)
from batchsim.runner.shard_state import Stage
from batchsim.runner.spending import check_reservation
from batchsim.runner.state import State, fold
from batchsim.runner.workplace import Workplace

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
    - `results`: the file to write. It appears when it is whole. Lines that the service wrote are
      passed through byte for byte; a line of which it said nothing gets a record in the same
      format, whose `error.code` is `batch_failed` (or the code that the failed batch gave the
      line), `batch_expired`, `batch_cancelled` or `result_missing`.
    - `job`: the directory that makes the job continue where it was; `<results>.job` unless given.
      Calling again with a finished job does nothing remotely and returns the same report.
    - `limits`: what one batch may hold, and the tokens that may be queued per model; the backend's
      unless given.
    - `supports`: which models are let through; those of the backend unless given.
    - `metadata`: up to 10 pairs for every batch; keys that begin with `bs_` are ours.
      Like the plan it is fixed when the job begins.
    - `policy`: how patient to be, how much at once, and what to do when in doubt.
    - `skip_invalid`: leave out invalid lines instead of refusing the input. Each gets a record
      whose `error.code` is what is wrong with it. Like the plan this is fixed when the job begins.
    - `observe`: called with a Progress after every step, in this thread.
    - `notices`: word from outside that something happened to a batch, which is looked at then.

    Raises InputError (InvalidInput, with all the errors counted) or UsageError when nothing was
    sent; JournalError when the job directory is in use, damaged or belongs to another input; and
    JobIncomplete when the job stopped before its end, in which case the same call continues it;
    UnaccountedBatches when it ended and the service has batches of the job that it did not make.
    """
    check_policy(backend, policy or Policy())
    results = Path(results)
    directory = JobDirectory(Path(job) if job is not None else Path(f"{results}.job"))
    limits = limits or backend.limits
    own = _checked_metadata(metadata or {}, limits)
    source = Path(requests) if isinstance(requests, str | os.PathLike) else None
    _refuse_to_overwrite(results, directory, source)
    target = Path(os.path.realpath(results))  # a link stays, and what it points at is replaced
    policy = policy or Policy()
    memory = _queue_memory(policy, backend)
    remembered = memory.read() if memory is not None else {}
    queues = {**remembered, **limits.enqueued_tokens, **policy.queue_limits}
    limits = replace(limits, enqueued_tokens=queues)
    planned = partial(
        _plan,
        limits=limits,
        supports=supports or backend.supports,
        skip_invalid=skip_invalid,
    )
    plan = None
    if source is not None and not directory.journal.exists():
        plan = planned(source)  # a bad input leaves no trace
    try:
        with (
            directory.locked(network_files=policy.network_files),
            Journal(directory.journal, rolls_back=policy.network_files) as journal,
        ):
            state = fold(journal.entries())
            has_begun = state.started is not None
            source = source or directory.spool(_lines(requests), has_begun=has_begun)
            moved = None
            if state.started is None:
                plan = plan or planned(source)
            else:
                plan = None
                moved = check_service(backend, state, policy)
                _check_input(source, state.started, state)
            work = Workplace(
                backend,
                directory,
                source,
                target,
                state,
                policy,
                limits,
                plan.custom_ids if plan else None,
            )
            loop = _Loop(journal, work, limits, observe, notices)
            if plan is not None:
                loop.begin(plan, own)
            elif moved is not None:
                loop.move(moved)
            try:
                loop.run()
            finally:
                if memory is not None:
                    memory.learn(state.learned)
            _check_audit(state, results)
            return report(state, results, directory.ledger)
    except OSError as error:
        raise JobIncomplete(
            f"the job stopped: {error}", hint="the same command goes on from here"
        ) from error


_GLANCE = 0.2
"""Real seconds for which the loop waits for a worker before it decides anew."""

_SILENCE = 60.0
"""Seconds of looking for a batch after which that is told."""

_QUIET = Looked | Noticed | Reconciled | Surveyed | Audited | AnswerIntended | AnswerSettled
"""Entries that are no news to people."""


class _Loop:
    """Decide, perform, record."""

    def __init__(
        self,
        journal: Journal,
        work: Workplace,
        limits: Limits,
        observe: Callable[[Progress], None] | None,
        notices: Notices | None = None,
    ) -> None:
        self._journal = journal
        self._work = work
        self._state = work.state
        self._clock = work.backend.clock
        self._agenda = Agenda(work.state, work.policy, limits)
        self._observe = observe
        self._notices = notices
        self._message = ""
        self._searched = 0.0

    def begin(self, plan: Plan, metadata: Mapping[str, str]) -> None:
        """Record how the job begins: all of it or nothing."""
        run, backend = new_run(), self._work.backend
        started = Started(
            run=run,
            job=job_of(run, backend.service, backend.account, plan.shards),
            service=backend.service,
            account=backend.account,
            lines=plan.lines,
            bytes=plan.bytes,
            metadata=metadata,
        )
        if plan.skipped:
            plan.skipped.write(self._work.directory)
        skipped = [plan.skipped.entry()] if plan.skipped else []
        self._record(started, *skipped, *plan.shards)

    def move(self, moved: AccountChanged) -> None:
        """Record that the job goes on with another key."""
        self._record(moved)

    def run(self) -> None:
        """Go on until the results are written. Raises JobIncomplete when that cannot be now."""
        self._take_over()
        with Crew(self._work) as crew:
            while True:
                self._note_cancel_request()
                self._note_notices()
                actions = decide(self._agenda, self._clock.now())
                free = [action for action in actions if not crew.has(action)]
                if crew.is_busy and (not free or isinstance(free[0], Done | Stop | Wait)):
                    crew.take(self._record, _GLANCE)
                    continue
                for action in free:
                    if isinstance(action, Done):
                        return self._restore_results()
                    self._do(action, crew)

    def _do(self, action: Action, crew: Crew) -> None:
        """Do one thing that is due, or have it done."""
        match action:
            case Stop():
                raise _incomplete(action, self._state)
            case Wait():
                self._clock.sleep(max(0.0, action.until - self._clock.now()))
            case Upload() | Download() if crew.wants(action):
                if not crew.start(action):
                    crew.take(self._record, _GLANCE)
                    return
                is_begun = isinstance(action, Download)
                while crew.has(action) and not is_begun:  # until the intent is written
                    crew.take(self._record, _GLANCE)
                    is_begun = self._state.shards[action.shard].stage is not Stage.WAITING
            case _:
                for entries in perform(self._work, action):
                    self._record(*entries)
                while crew.is_busy and crew.take(self._record, 0):
                    pass

    def _note_cancel_request(self) -> None:
        """Another process may have left the wish that the job be cancelled."""
        request = self._work.directory.cancel_request
        if not request.exists():
            return
        if self._state.cancelled_at is None and self._state.finished is None:
            self._record(CancelRequested())
        request.unlink(missing_ok=True)

    def _note_notices(self) -> None:
        noticed = self._notices.take() if self._notices is not None else ()
        for batch in noticed:
            number = self._state.known.get(batch)
            shard = self._state.shards.get(number or 0)
            if shard and shard.stage is Stage.LIVE and shard.batch and shard.batch.id == batch:
                self._record(Noticed(shard=shard.plan.shard))

    def _take_over(self) -> None:
        """A request that another process had under way may have been sent, and has no answer."""
        reason = "the process ended before an answer came"
        for number, shard in self._state.shards.items():
            if shard.stage is Stage.CREATING:
                self._record(CreateUnknown(shard=number, reason=reason))

    def _record(self, *entries: Entry) -> None:
        now = self._clock.now()
        durable = [entry for entry in entries if entry.durable]
        if durable:
            self._journal.append(now, *durable, check=self._reservation(durable))
        for entry in entries:
            self._state.apply(now, entry)
            self._agenda.note(entry)
        told = next((entry for entry in entries if not isinstance(entry, _QUIET)), None)
        if told is not None:
            self._message = describe(told, self._state)
        for entry in entries if told is None else ():
            if isinstance(entry, Looked):
                self._tell_search(entry.shard, now)
        if self._observe is not None:
            self._observe(progress(self._state, now, self._message))

    def _tell_search(self, number: int, now: float) -> None:
        """Say once a minute that a batch is looked for: minutes of silence look like a hang."""
        shard = self._state.shards[number]
        if shard.stage is Stage.UNKNOWN and now - max(self._searched, shard.since) >= _SILENCE:
            self._searched = now
            self._message = describe_search(shard, self._state, self._work.policy, now)

    def _reservation(self, entries: list[Entry]) -> Callable[[], None] | None:
        """What must hold for the entries to be written: what costs is asked for only under the cap."""
        for entry in entries:
            if isinstance(entry, CreateIntended | AnswerIntended):
                self._agenda.refresh()
                held = self._agenda.taken.money
                return partial(check_reservation, held, self._work.policy, entry.reserved)
        return None

    def _restore_results(self) -> None:
        """Write the results of a finished job again if they are gone or cut short."""
        finished, path = self._state.finished, self._work.results
        if finished and not (path.is_file() and path.stat().st_size == finished.bytes):
            copies.mend(self._work)
            settle.write_results(self._work)


def _queue_memory(policy: Policy, backend: Backend) -> KnownQueues | None:
    if policy.queue_memory is None:
        return None
    return KnownQueues(policy.queue_memory, backend.service, backend.account)


def _check_audit(state: State, results: Path) -> None:
    """Raises UnaccountedBatches when the service has batches of the job that it never asked for."""
    if not state.strays:
        return
    told = "; ".join(_told(state, stray) for stray in state.strays)
    raise UnaccountedBatches(
        f"the results are whole, in {results}, but the service has batches of this job that its "
        f"journal did not know, and they may cost money: {told}",
        hint="another runner with a copy of the job directory makes such batches",
    )


def _told(state: State, stray: str) -> str:
    twins = (twin for shard in state.shards.values() for twin in (*shard.twins, shard.batch))
    for twin in twins:
        if twin is not None and twin.id == stray:
            tokens = (
                f"{twin.usage.total_tokens:,} tokens" if twin.usage.total_tokens else "no usage"
            )
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


def _check_input(source: Path, started: Started, state: State) -> None:
    """Raises JournalError unless `source` holds, to the byte, the lines that were planned."""
    with open_input(source) as stream:
        size = stream.seek(0, os.SEEK_END)
    if size != started.bytes:
        raise changed_input(source)
    for shard in state.shards.values():
        with ShardContent(source, shard.plan) as content:
            content.read_through()


def _checked_metadata(metadata: Mapping[str, str], limits: Limits) -> dict[str, str]:
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
    """The results are renamed into place, which would destroy whatever has that name."""
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


def _incomplete(stop: Stop, state: State) -> JobIncomplete:
    unfinished = sum(shard.tally is None for shard in state.shards.values())
    text = "; ".join(dict.fromkeys(stop.reasons)) or "there is no room for any shard"
    hint = "the same command looks again and goes on from here"
    if stop.is_short:
        hint = "raise --max-cost (max_cost in Python); the same command then goes on from here"
    if any(shard.stage is Stage.UNKNOWN for shard in state.shards.values()):
        hint += "; --on-unknown fence deletes the input file, which a late request then lacks, and creates again"
    return JobIncomplete(
        f"{unfinished} of {len(state.shards)} shards are not finished. {text}", hint=hint
    )
