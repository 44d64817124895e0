"""What to do next: the job's state and the time -> actions. Nothing is done here.

Theory of operation. Every shard has at most one next step, and the step has a moment at which it
falls due. `decide` returns all steps that are due, or a Wait until the first that will be, or what
ends the loop. The cases of a shard, by its stage:

 1. WAITING    upload its lines, if there is room.
 2. UPLOADING  a request was sent and its outcome is not known: look for the file by its name.
 3. UPLOADED   create the batch, if its model's queue has room.
 4. UNKNOWN    a create was sent and its outcome is not known. Look for its batch, at once and
               again and again until the list has had time to settle. Not found by then:
               a. the shard is stuck, for a person to judge, unless the policy says otherwise;
               b. `wait` goes on looking until a batch would have ended;
               c. `fence`, and `wait` after its time, have deleted the input file after the first
                  look, and looked anew for as long: abandon the create and go back to 1.
 5. LIVE       look at the batch, the less often the older it is.
 6. ENDED      a. it failed for a passing reason: give it up after a wait, and go back to 1;
               b. its counts promise files that it does not name yet: look again for a while;
               c. a result file is not here: download it;
               d. everything is here: collect.
 7. COLLECTED  nothing. When all shards are here: send the lines again that are worth another
               try, as shards of the next round, while rounds are left; then assemble the results.
               A finished job is taken up again when the policy allows more rounds than before.

A job that somebody asked to cancel sends nothing more: shards without a batch are collected as they
are, batches that run are cancelled, and what they have done is collected when they have ended.

A failed request moves the next step into the future (`Setback`). A shard is stuck when requests
failed for longer than the policy is patient, or when one was refused for a reason that waiting
does not mend. Stuck shards do not hold up the others, except that after a refused upload or create
no other is begun: what is refused to one would be refused to all. When nothing but stuck shards is
left, the job stops with their reasons.

Uploads and creates come one at a time, so that what one teaches is known before the next. So do
looks, a second apart (see polling).

Before all that, a process reads the lists once: what they show of ours and the journal lacks is
taken over. At the end it lets twins end and audits the list, and only then writes the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batchsim.domain.batches import Batch
from batchsim.domain.limits import Limits
from batchsim.responders.models import alias
from batchsim.runner.actions import (
    AbandonCreate,
    Action,
    AnswerLines,
    Assemble,
    Audit,
    BeginFinish,
    CancelBatch,
    CancelTwin,
    Collect,
    Create,
    Divide,
    Done,
    Download,
    FenceCreate,
    FindBatch,
    FindUpload,
    GiveUpBatch,
    PlanRound,
    Poll,
    Reconcile,
    ShardAction,
    Stop,
    Survey,
    Upload,
    Wait,
    Weigh,
)
from batchsim.runner.entries import Origin, Source
from batchsim.runner.leftovers import sweep_steps
from batchsim.runner.policy import OnUnknown, Policy, awaits_files, failed_in_passing, is_running
from batchsim.runner.polling import poll_steps
from batchsim.runner.queues import told_limit
from batchsim.runner.room import Room, queue_limits, tokens_of
from batchsim.runner.spending import refusals
from batchsim.runner.state import Setback, ShardState, Stage, State

_ONE_AT_A_TIME: dict[type, type] = {Upload: Upload, Create: Upload, Poll: Poll, Survey: Poll}
_SUBMITTING = frozenset({Stage.WAITING, Stage.UPLOADED})
_WITHOUT_BATCH = _SUBMITTING | {Stage.UPLOADING}


def decide(state: State, policy: Policy, limits: Limits, now: float) -> list[Action]:
    """What is to be done `now` (unix seconds): never empty, and at most one Upload or Create."""
    is_collected = all(shard.stage is Stage.COLLECTED for shard in state.shards.values())
    if is_collected and state.again and _may_resend(state, policy):
        return [PlanRound()]
    if state.finished:
        return _sweep(state, policy, limits, now)
    if state.halted is not None:
        return [Stop((state.halted,))]
    due: list[Action] = []
    later: list[float] = []
    taken: set[type] = set()
    for at, action in _all_steps(state, policy, limits, now):
        kind = _ONE_AT_A_TIME.get(type(action))
        if at > now:
            later.append(at)
        elif kind is None or kind not in taken:
            due.append(action)
            if kind is not None:
                taken.add(kind)
    if due:
        return due
    if later:
        return [Wait(min(later))]
    return [Stop(tuple(_reasons(state, policy, limits, now)))]


def _may_resend(state: State, policy: Policy) -> bool:
    if state.cancelled_at is not None:
        return False
    if state.hurried_at is not None:
        return not state.is_hurried_over
    return state.round < policy.retries


def _hurries_at(state: State, policy: Policy) -> float | None:
    """When to stop sending in batches (unix seconds); None while nothing says so."""
    if not policy.finish_sync or state.is_ending:
        return None
    if policy.deadline is not None:
        return state.started_at + policy.deadline - min(policy.sync_lead, policy.deadline / 4)
    if any(shard.stage in _WITHOUT_BATCH for shard in state.shards.values()):
        return None
    batches = (shard.batch for shard in state.shards.values() if shard.stage is Stage.LIVE)
    ends = [batch.expires_at for batch in batches if batch and batch.expires_at]
    return min(ends) - policy.sync_lead if ends else None


def _sweep(state: State, policy: Policy, limits: Limits, now: float) -> list[Action]:
    """What is left once the results are written; shards that are stuck stop nothing else."""
    steps = list(sweep_steps(state)) if policy.delete_remote else []
    steps = [(at, step) for at, step in steps if stuck(state.shards[step.shard], policy) is None]
    if not steps:
        reasons = tuple(_reasons(state, policy, limits, now)) if policy.delete_remote else ()
        return [Stop(reasons) if reasons else Done()]
    return [step for at, step in steps if at <= now] or [Wait(min(at for at, _ in steps))]


def _all_steps(
    state: State, policy: Policy, limits: Limits, now: float
) -> Iterator[tuple[float, Action]]:
    held = state.setback.until if state.setback else 0.0
    if state.setback is not None and _is_out_of_patience(state.setback, policy):
        return
    if not state.reconciled:
        yield held, Reconcile()
    elif all(shard.stage is Stage.COLLECTED for shard in state.shards.values()):
        yield from _last_steps(state, policy, held)
    else:
        hurries = _hurries_at(state, policy)
        steps = []
        if hurries is None or hurries > now:
            steps = list(_steps(state, policy, limits, now))
        is_short = policy.max_cost is not None and not steps  # no waiting brings money
        if hurries is not None and (hurries <= now or not is_short):
            yield hurries, BeginFinish()
        yield from steps


def _last_steps(state: State, policy: Policy, held: float) -> Iterator[tuple[float, Action]]:
    """When every line has its place: let the twins end, audit, and write the results."""
    ended = max(shard.since for shard in state.shards.values())
    twins = [(shard, twin) for shard in state.shards.values() for twin in shard.twins]
    for shard, twin in twins:
        if is_running(twin) and stuck(shard, policy) is None:
            yield (
                shard.setback.until if shard.setback else 0.0,
                CancelTwin(shard.plan.shard, twin.id),
            )
    is_waiting = any(not twin.status.is_terminal for _, twin in twins)
    if is_waiting and (state.surveyed or 0.0) < ended + policy.twins_end:
        yield from poll_steps(state, [], policy)
    elif not state.is_audited:
        yield held, Audit()
    else:
        yield held, Assemble()


def _steps(
    state: State, policy: Policy, limits: Limits, now: float
) -> Iterator[tuple[float, Action]]:
    """The next step of each shard that has one, with the moment at which it falls due."""
    live: list[ShardState] = []
    is_cancelled = state.is_ending
    room = Room(state, policy, limits, now)
    queues = queue_limits(state, limits)
    unweighed = {n for n, shard in state.shards.items() if _lacks_weight(shard, policy, queues)}
    yield from ((0.0, Weigh(number)) for number in unweighed)
    is_refused = (
        bool(unweighed)
        or any(s.blocked and s.stage in _SUBMITTING for s in state.shards.values())
        or any(refusals(state, policy))
    )
    for number, shard in state.shards.items():
        if shard.plan.origin is Origin.SYNCHRONOUS:
            if shard.stage is Stage.WAITING and stuck(shard, policy) is None:
                yield shard.since, AnswerLines(number)
            continue
        if is_cancelled and shard.stage in _WITHOUT_BATCH:
            yield shard.since, Collect(number)
            continue
        if stuck(shard, policy) is not None or number in unweighed:
            continue
        if shard.stage in _SUBMITTING and (is_refused or not _has_room(shard, room, queues)):
            continue
        yield from _shard_steps(number, shard, policy, queues, is_cancelled=is_cancelled)
        if shard.stage is Stage.LIVE:  # case 5
            live.append(shard)
    yield from poll_steps(state, live, policy)
    yield from ((at, Wait(at)) for at in room.opens if at > now)


def _shard_steps(
    number: int,
    shard: ShardState,
    policy: Policy,
    queues: Mapping[str, int],
    *,
    is_cancelled: bool,
) -> Iterator[tuple[float, Action]]:
    held = shard.setback.until if shard.setback else 0.0
    for twin in shard.twins:
        if is_running(twin):
            yield held, CancelTwin(number, twin.id)
    if _is_divisible(shard, queues):
        yield shard.since, Divide(number, queues[alias(shard.plan.model or "")])
        return
    step = _step(number, shard, policy, is_cancelled=is_cancelled)
    if step is not None:
        yield max(step[0], held), step[1]


def _has_room(shard: ShardState, room: Room, queues: Mapping[str, int]) -> bool:
    return _is_divisible(shard, queues) or room.admits(shard)


def _lacks_weight(shard: ShardState, policy: Policy, queues: Mapping[str, int]) -> bool:
    """Whether the shard must be weighed before anything more is sent."""
    has_none = shard.plan.origin in (Origin.UNKNOWN, Origin.SYNCHRONOUS)
    if shard.weight is not None or shard.stage is Stage.COLLECTED or has_none:
        return False
    is_limited = alias(shard.plan.model or "") in queues and not shard.plan.tokens
    return policy.max_cost is not None or is_limited


def _is_divisible(shard: ShardState, queues: Mapping[str, int]) -> bool:
    """Whether nothing was sent of the shard, and all of it can never be queued together."""
    limit = queues.get(alias(shard.plan.model or ""))
    is_too_large = limit is not None and tokens_of(shard) > limit
    return is_too_large and shard.stage is Stage.WAITING and shard.plan.lines > 1


def _step(
    number: int, shard: ShardState, policy: Policy, *, is_cancelled: bool
) -> tuple[float, ShardAction] | None:
    match shard.stage:
        case Stage.LIVE if is_cancelled and _must_be_cancelled(shard):
            return shard.since, CancelBatch(number)
        case Stage.ENDED if is_cancelled and failed_in_passing(_batch(shard)):
            return shard.since, Collect(number)
        case Stage.WAITING:  # case 1
            return shard.since, Upload(number)
        case Stage.UPLOADING:  # case 2
            return shard.since, FindUpload(number)
        case Stage.UPLOADED:  # case 3
            return shard.since, Create(number)
        case Stage.UNKNOWN:  # case 4
            return _unknown_step(number, shard, policy)
        case Stage.ENDED:  # case 6
            return _ended_step(number, shard, policy)
        case Stage.COLLECTED | Stage.LIVE | Stage.CREATING:
            return None  # cases 7 and 5, which concern all at once, and a request under way


def _unknown_step(number: int, shard: ShardState, policy: Policy) -> tuple[float, ShardAction]:
    looked = shard.looked
    if looked is None:
        return shard.since, FindBatch(number)
    waits = policy.on_unknown == OnUnknown.WAIT and not shard.is_fenced
    if waits and looked < shard.since + policy.longest_window:  # case 4b
        pause = policy.poll_interval(looked - shard.since) if shard.has_settled else 0.0
        return looked + max(policy.look_again, pause), FindBatch(number)
    if policy.on_unknown != OnUnknown.STOP and not shard.is_fenced:  # case 4c
        return looked, FenceCreate(number)
    if shard.has_settled:
        return looked, AbandonCreate(number)
    settles = shard.since + policy.settle
    again = looked + policy.look_again
    return min(again, settles) if looked < settles else again, FindBatch(number)


def _ended_step(number: int, shard: ShardState, policy: Policy) -> tuple[float, ShardAction]:
    batch, since = _batch(shard), shard.since
    may_go_again = shard.plan.origin is not Origin.UNKNOWN
    gives_up = shard.given_up + 1 < policy.batches_per_shard and may_go_again
    if failed_in_passing(batch) and gives_up:  # case 6a
        if told_limit(batch) is None:
            return since + policy.batch_wait(shard.given_up), GiveUpBatch(number)
        if shard.plan.lines > 1 or tokens_of(shard) <= (told_limit(batch) or 0):
            return since, GiveUpBatch(number)  # it waits for room, not for time
    looked = since if shard.looked is None else shard.looked
    if awaits_files(batch) and looked < since + policy.late_files:  # case 6b
        return looked + policy.first_poll, Poll(number)
    for source, file_id in (
        (Source.OUTPUT, batch.output_file_id),
        (Source.ERROR, batch.error_file_id),
    ):
        if file_id is not None and shard.file(source) is None:  # case 6c
            return since, Download(number, source, file_id)
    return since, Collect(number)  # case 6d


def _batch(shard: ShardState) -> Batch:
    assert shard.batch is not None, "a shard that ended has a batch"  # noqa: S101 - for the type checker
    return shard.batch


def _must_be_cancelled(shard: ShardState) -> bool:
    return shard.batch is not None and is_running(shard.batch) and not shard.cancel_asked


def stuck(shard: ShardState, policy: Policy) -> str | None:
    """Why this process can do no more for the shard; None when it can."""
    if shard.blocked is not None:
        return shard.blocked
    setback = shard.setback
    if setback is not None and _is_out_of_patience(setback, policy):
        return f"{setback.reason} (for {setback.last - setback.since:.0f} seconds)"
    was_looked_for = shard.has_settled and shard.looked is not None
    if shard.stage is Stage.UNKNOWN and was_looked_for and policy.on_unknown == OnUnknown.STOP:
        return (
            f"a batch over {shard.file_id} was asked for, no answer came and none is in the list: "
            "it may not exist, or appear later and cost money"
        )
    return None


def _is_out_of_patience(setback: Setback, policy: Policy) -> bool:
    return setback.last - setback.since >= policy.patience


def _reasons(state: State, policy: Policy, limits: Limits, now: float) -> Iterator[str]:
    total = len(state.shards)
    if state.setback is not None and _is_out_of_patience(state.setback, policy):
        yield state.setback.reason
    yield from refusals(state, policy)
    room = Room(state, policy, limits, now)
    for number, shard in state.shards.items():
        reason = stuck(shard, policy)
        if reason is None and shard.stage in _SUBMITTING and not room.admits(shard):
            reason = room.shortages.get(number)
        if reason is not None:
            yield f"shard {number} of {total}: {reason}"
