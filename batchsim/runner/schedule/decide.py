"""Decide what to do next: the agenda and the time in, actions out. Nothing is done here.

Theory of operation. Every shard has at most one next step, and each step has a time at which it
falls due. `decide` returns all steps that are due, or a Wait until the first that will be, or what
ends the loop. The steps of single shards are worked out in batchsim.runner.schedule.shard_steps
and filed in the agenda, so that deciding does not walk all shards. The cases of a shard, by stage:

 1. WAITING    upload its lines, if the limits leave capacity.
 2. UPLOADING  a request was sent and its outcome is unknown: search for the file by its name.
 3. UPLOADED   create the batch, if it fits into its model's queue.
 4. UNKNOWN    a create was sent and its outcome is unknown. Search the list for its batch, at once
               and again until the list lag has passed. Not found by then:
               a. the shard is stuck, for a person to judge, unless the policy says otherwise;
               b. `wait` goes on searching until a batch would have ended;
               c. `fence`, and `wait` after its time, have deleted the input file after the first
                  search, and searched anew for as long: abandon the create and go back to 1.
 5. LIVE       poll the batch, the less often the older it is.
 6. ENDED      a. it failed for a passing reason: give it up after a wait, and go back to 1;
               b. its counts promise files that it does not name yet: poll again for a while;
               c. a result file is not here: download it;
               d. everything is here: collect.
 7. COLLECTED  nothing. When all shards are here: send the lines again that are worth another
               try, as shards of the next round, while rounds are left; then assemble the results.
               A finished job is taken up again when the policy allows more rounds than before.

A job that the user cancels sends nothing more: shards without a batch are collected as they are,
batches that run are cancelled, and their results are collected when they have ended.

A failed request moves the next step into the future (`Setback`). A shard is stuck when requests
failed for longer than the policy is patient, or when one was refused for a reason that waiting
does not mend. Stuck shards do not hold up the others, except that after a refused upload or create
no other is begun: what is refused to one would be refused to all. When nothing but stuck shards is
left, the job stops with their reasons.

Uploads and creates come one at a time, so that what one teaches is known before the next. So do
polls, a second apart (see polling).

Before its first create a runner makes sure that no other runner of the job was first (Elect, see
batchsim.runner.effects.leader_election); one that was not creates nothing.

Before all that, a process reads the lists once: batches of the job that the journal lacks are
recorded. At the end it lets twins end and audits the list, and only then writes the results.
"""

from collections.abc import Iterable, Iterator

from batchsim.runner.job import JobState, Stage
from batchsim.runner.policy import Policy
from batchsim.runner.schedule import actions
from batchsim.runner.schedule.agenda import Agenda
from batchsim.runner.schedule.budget import refusals
from batchsim.runner.schedule.capacity import Capacity
from batchsim.runner.schedule.remote_cleanup import sweep_steps
from batchsim.runner.schedule.shard_steps import (
    SUBMITTING,
    WITHOUT_BATCH,
    is_out_of_patience,
    stuck_reason,
)

_Timed = tuple[float, actions.Action]


def decide(agenda: Agenda, now: float) -> list[actions.Action]:
    """Return what to do `now` (unix seconds): never empty, and at most one Upload or Create."""
    agenda.refresh()
    state, policy = agenda.state, agenda.policy
    if agenda.is_collected and state.retriable and _may_resend(state, policy):
        return [actions.PlanRound()]
    if state.finished:
        return _sweep(agenda, now)
    if agenda.session.halted is not None:
        return [actions.Stop((agenda.session.halted,))]
    due: list[actions.Action] = []
    later: list[float] = []
    for at, action in _all_steps(agenda, now):
        if at > now:
            later.append(at)
        else:
            due.append(action)
    if due:
        return due
    if later:
        return [actions.Wait(min(later))]
    return [_stop(agenda, now)]


def _may_resend(state: JobState, policy: Policy) -> bool:
    if state.cancelled_at is not None:
        return False
    if state.sync_began_at is not None:
        return not state.is_sync_planned
    return state.round < policy.retries


def _sync_begins_at(agenda: Agenda) -> float | None:
    """Return when to stop sending in batches (unix seconds); None while that is not known."""
    state, policy = agenda.state, agenda.policy
    if not policy.finish_sync or state.is_ending:
        return None
    if policy.deadline is not None:
        return state.started_at + policy.deadline - min(policy.sync.lead, policy.deadline / 4)
    if any(agenda.stages[stage] for stage in WITHOUT_BATCH):
        return None
    ends = agenda.expiries.value
    return ends - policy.sync.lead if ends is not None else None


def _sweep(agenda: Agenda, now: float) -> list[actions.Action]:
    """Return what is left once the results are written; stuck shards do not stop the others."""
    state, policy = agenda.state, agenda.policy
    steps = list(sweep_steps(state)) if policy.delete_remote else []
    steps = [
        (at, step) for at, step in steps if stuck_reason(state.shards[step.shard], policy) is None
    ]
    if not steps:
        stop = _stop(agenda, now)
        return [stop if policy.delete_remote and stop.reasons else actions.Done()]
    return [step for at, step in steps if at <= now] or [actions.Wait(min(at for at, _ in steps))]


def _all_steps(agenda: Agenda, now: float) -> Iterator[_Timed]:
    policy, setback = agenda.policy, agenda.session.setback
    if setback is not None and is_out_of_patience(setback, policy):
        return
    not_before = setback.until if setback else 0.0
    if not agenda.session.is_reconciled:
        yield not_before, actions.Reconcile()
    elif agenda.is_collected:
        yield from _last_steps(agenda, not_before, now)
    else:
        sync_begins = _sync_begins_at(agenda)
        steps = []
        if sync_begins is None or sync_begins > now:
            steps = list(_steps(agenda, now))
        is_short = policy.max_cost is not None and not steps  # no waiting brings money
        if sync_begins is not None and (sync_begins <= now or not is_short):
            yield sync_begins, actions.BeginFinish()
        yield from steps


def _last_steps(agenda: Agenda, not_before: float, now: float) -> Iterator[_Timed]:
    """Once all shards are collected: let the twins end, audit, and write the results."""
    state, session, policy = agenda.state, agenda.session, agenda.policy
    ended = max(shard.since for shard in state.shards.values())
    twins = [twin for shard in state.shards.values() for twin in shard.twins]
    yield from ((0.0, action) for action in agenda.due(now))
    yield from ((at, actions.Wait(at)) for at in agenda.later())
    is_waiting = any(not twin.status.is_terminal for twin in twins)
    if is_waiting and (session.surveyed_at or 0.0) < ended + policy.service_times.twins_end:
        yield from _first_due(agenda.polls.steps(state, session, policy), now)
    elif not state.is_audited:
        yield not_before, actions.Audit()
    else:
        yield not_before, actions.Assemble()


def _steps(agenda: Agenda, now: float) -> Iterator[_Timed]:
    """Yield what is due of all shards; of the rest, when the first falls due."""
    capacity = agenda.capacity(now)
    steps: list[_Timed] = [(0.0, action) for action in agenda.due(now)]
    steps += _submissions(agenda, capacity, now)
    steps.sort(key=_number)
    yield from steps
    yield from ((at, actions.Wait(at)) for at in agenda.later())
    polls = agenda.polls.steps(agenda.state, agenda.session, agenda.policy)
    yield from _first_due(polls, now)
    yield from ((at, actions.Wait(at)) for at in capacity.opens if at > now)


def _submissions(agenda: Agenda, capacity: Capacity, now: float) -> Iterator[_Timed]:
    """Yield what may be sent. Until a runner is elected, one file is uploaded as its claim."""
    state, session = agenda.state, agenda.session
    is_claiming = agenda.stages[Stage.UPLOADING] or agenda.stages[Stage.UPLOADED]
    if state.may_create(session.site) or not (is_claiming or session.stood_back):
        yield from _first_due(agenda.submissions(capacity), now)
    elif session.stood_back is None and agenda.stages[Stage.UPLOADED]:
        shards = state.shards.values()
        claimed = min(shard.since for shard in shards if shard.stage is Stage.UPLOADED)
        not_before = session.setback.until if session.setback else 0.0
        yield max(claimed + agenda.policy.service_times.claim_wait, not_before), actions.Elect()


def _number(step: _Timed) -> int:
    return step[1].shard if isinstance(step[1], actions.ShardAction) else 0


def _first_due(steps: Iterable[_Timed], now: float) -> Iterator[_Timed]:
    """Yield the steps up to the first that is due: only one of these is done at a time."""
    for at, action in steps:
        yield at, action
        if at <= now:
            return


def _stop(agenda: Agenda, now: float) -> actions.Stop:
    state, session, policy = agenda.state, agenda.session, agenda.policy
    reasons: list[str] = []
    if session.setback is not None and is_out_of_patience(session.setback, policy):
        reasons.append(session.setback.reason)
    reasons += [session.stood_back] if session.stood_back else []
    reasons += refusals(state, policy)
    capacity = agenda.capacity(now)
    for number, shard in state.shards.items():
        reason = stuck_reason(shard, policy)
        if reason is None and shard.stage in SUBMITTING and not capacity.admits(shard):
            reason = capacity.shortages.get(number)
        if reason is not None:
            reasons.append(f"shard {number} of {len(state.shards)}: {reason}")
    return actions.Stop(tuple(reasons), is_short=bool(capacity.shortages))
