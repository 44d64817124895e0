"""The loop that carries a job, from any state, to its results.

Theory of operation. The loop decides what is due, does it and records what happened, until the
results are written or nothing more can be done. The state is the fold of the journal, so a job
that was stopped anywhere is continued by the same loop on the same journal.

    entries --fold--> state --decide--> actions --perform--> entries

Only this loop writes the journal and changes the state; only `perform` speaks to the backend; the
time is only that of the backend's clock.
"""

from collections.abc import Callable, Mapping
from functools import partial

from batchsim.amounts import counted
from batchsim.errors import JobIncomplete
from batchsim.runner.effects import finish_shard, verify_downloads
from batchsim.runner.effects.context import JobContext
from batchsim.runner.effects.leader_election import check_claims
from batchsim.runner.engine.perform import perform
from batchsim.runner.engine.workers import WorkerPool
from batchsim.runner.job import JobState, Session, Stage
from batchsim.runner.job.remote_names import job_of, new_run
from batchsim.runner.journal import Journal, job_entries, shard_entries
from batchsim.runner.journal.job_entries import Entry, Started
from batchsim.runner.planning.plan import Plan
from batchsim.runner.progress.messages import Message, describe, describe_search
from batchsim.runner.progress.snapshot import Progress, progress
from batchsim.runner.schedule.actions import Action, Done, Download, Stop, Upload, Wait
from batchsim.runner.schedule.budget import check_reservation
from batchsim.runner.schedule.decide import decide
from batchsim.runner.webhook_notices import Notices

_PAUSE = 0.2
"""Real seconds that the loop waits for a worker before it decides anew."""

_SEARCH_NEWS = 60.0
_NOT_NEWS = (
    shard_entries.Checked | shard_entries.Noticed | job_entries.Reconciled | job_entries.Surveyed
    | job_entries.Audited | job_entries.Elected | shard_entries.AnswerIntended
    | shard_entries.AnswerRecorded
)  # fmt: skip
"""Entries that observers are not told of."""


class Loop:
    def __init__(
        self,
        journal: Journal,
        context: JobContext,
        observe: Callable[[Progress], None] | None,
        notices: Notices | None = None,
    ) -> None:
        self._journal = journal
        self._context = context
        self._state = context.state
        self._clock = context.backend.clock
        self._agenda = context.agenda
        self._observe = observe
        self._notices = notices
        self._latest = Message("going on with the job" if context.state.started else "")
        self._searched = 0.0

    def begin(self, plan: Plan, metadata: Mapping[str, str]) -> None:
        run, backend = new_run(), self._context.backend
        started = Started(
            run=run,
            job=job_of(run, backend.service, backend.account, plan.shards),
            service=backend.service,
            account=backend.account,
            lines=plan.lines,
            bytes=plan.bytes,
            metadata=metadata,
        )
        self._record(started, *plan.entries(self._context.directory))
        self._journal.checkpoint()
        self._context.directory.mark_begun(run)

    def move(self, moved: job_entries.AccountChanged) -> None:
        self._record(moved)

    def run(self) -> None:
        """Carry the job to its results. Raises JobIncomplete when that is not possible now."""
        self._show(self._clock.now())
        self._take_over()
        with WorkerPool(self._context) as workers:
            while True:
                self._note_cancel_request()
                self._note_notices()
                actions = decide(self._agenda, self._clock.now())
                free = [action for action in actions if not workers.has(action)]
                if workers.is_busy and (not free or isinstance(free[0], Done | Stop | Wait)):
                    workers.take(self._record, _PAUSE)
                    continue
                for action in free:
                    if isinstance(action, Done):
                        return self._restore_results()
                    self._do(action, workers)

    def _do(self, action: Action, workers: WorkerPool) -> None:
        match action:
            case Stop():
                raise _incomplete(action, self._state, self._context.agenda.session)
            case Wait():
                self._clock.sleep(max(0.0, action.until - self._clock.now()))
            case Upload() | Download() if workers.wants(action):
                if not workers.start(action):
                    workers.take(self._record, _PAUSE)
                    return
                is_begun = isinstance(action, Download)
                while workers.has(action) and not is_begun:  # until the intent is written
                    workers.take(self._record, _PAUSE)
                    is_begun = self._state.shards[action.shard].stage is not Stage.WAITING
            case _:
                for entries in perform(self._context, action):
                    self._record(*entries)
                while workers.is_busy and workers.take(self._record, 0):
                    pass

    def _note_cancel_request(self) -> None:
        request = self._context.directory.cancel_request
        if not request.exists():
            return
        if self._state.cancelled_at is None and self._state.finished is None:
            self._record(job_entries.CancelRequested())
        request.unlink(missing_ok=True)

    def _note_notices(self) -> None:
        noticed = self._notices.take() if self._notices is not None else ()
        for batch in noticed:
            number = self._state.batch_shards.get(batch)
            shard = self._state.shards.get(number or 0)
            if shard and shard.stage is Stage.LIVE and shard.batch and shard.batch.id == batch:
                self._record(shard_entries.Noticed(shard=shard.plan.shard))

    def _take_over(self) -> None:
        """Take over from an earlier process, whose last request may have been sent."""
        context = self._context
        for entry in list(check_claims(self._state, context.policy, context.agenda.session.site)):
            self._record(entry)
        reason = "the process ended before an answer came"
        for number, shard in self._state.shards.items():
            if shard.stage is Stage.CREATING:
                self._record(shard_entries.CreateUnknown(shard=number, reason=reason))

    def _record(self, *entries: Entry) -> None:
        now = self._clock.now()
        durable = [entry for entry in entries if entry.durable]
        if durable:
            self._journal.append(now, *durable, check=self._reservation(durable))
        for entry in entries:
            self._agenda.apply(now, entry)
        news = next((entry for entry in entries if not isinstance(entry, _NOT_NEWS)), None)
        if news is not None:
            self._latest = describe(news, self._state, self._context.agenda.session)
        for entry in entries if news is None else ():
            if isinstance(entry, shard_entries.Checked):
                self._tell_search(entry.shard, now)
        self._show(now)

    def _show(self, now: float) -> None:
        if self._observe is not None:
            self._observe(progress(self._state, now, self._latest))

    def _tell_search(self, number: int, now: float) -> None:
        """Report once a minute that a batch is searched for: silence looks like a hang."""
        shard = self._state.shards[number]
        if shard.stage is Stage.UNKNOWN and now - max(self._searched, shard.since) >= _SEARCH_NEWS:
            self._searched = now
            self._latest = describe_search(shard, self._context.policy, now)

    def _reservation(self, entries: list[Entry]) -> Callable[[], None] | None:
        """Return the check that keeps the entries out of the journal if they exceed the cap."""
        for entry in entries:
            if isinstance(entry, shard_entries.CreateIntended | shard_entries.AnswerIntended):
                balance = self._agenda.balance()
                return partial(check_reservation, balance, self._context.policy, entry.reserved)
        return None

    def _restore_results(self) -> None:
        """Write the results of a finished job again if they are gone or truncated."""
        finished, path = self._state.finished, self._context.files.results
        if finished and not finished.is_whole(path):
            verify_downloads.mend(self._context)
            finish_shard.write_results(self._context)


def _incomplete(stop: Stop, state: JobState, session: Session) -> JobIncomplete:
    unfinished = sum(shard.tally is None for shard in state.shards.values())
    text = "; ".join(dict.fromkeys(stop.reasons)) or "there is no room for any shard"
    hint = "the same command looks again and goes on from here"
    if stop.is_short:
        hint = "raise --max-cost (max_cost in Python); the same command then goes on from here"
    is_unknown = any(shard.stage is Stage.UNKNOWN for shard in state.shards.values())
    if session.stood_back or (is_unknown and not state.may_create(session.site)):
        hint += (
            "; if no other runner is at work on this job, as when its directory was moved or "
            "restored, add --alone (alone in Python)"
        )
    elif is_unknown:
        then = "creates again" if state.cancelled_at is None else "ends the job"
        hint += "; --on-unknown fence deletes the input file, which a late request then lacks, "
        hint += f"and {then}"
    shards, verb = counted(len(state.shards), "shard"), "is" if unfinished == 1 else "are"
    return JobIncomplete(f"{unfinished} of {shards} {verb} not finished. {text}", hint=hint)
