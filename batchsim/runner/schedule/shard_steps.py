"""The next steps of one shard: a pure function of its state and the policy.

The cases by which a shard's step is chosen are numbered in batchsim.runner.schedule.decide.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from batchsim.domain.batches import Batch
from batchsim.runner.job import Setback, ShardState, Stage
from batchsim.runner.job.token_queues import told_limit
from batchsim.runner.journal.shard_entries import Origin, Source
from batchsim.runner.policy import OnUnknown, Policy, awaits_files, failed_in_passing, is_running
from batchsim.runner.schedule import actions
from batchsim.runner.schedule.budget import is_unbounded
from batchsim.runner.schedule.capacity import queue_of, tokens_of

SUBMITTING = frozenset({Stage.WAITING, Stage.UPLOADED})
WITHOUT_BATCH = SUBMITTING | {Stage.UPLOADING}
_ENDS = actions.Collect | actions.AnswerLines

Timed = tuple[float, actions.ShardAction]
"""An action and the time (unix seconds) at which it falls due."""


@dataclass(frozen=True, slots=True)
class NextSteps:
    steps: tuple[Timed, ...]
    """Steps that need no capacity."""
    submission: Timed | None
    """The step that needs capacity."""
    is_polled: bool
    lacks_weight: bool
    """True if no shard is sent before this one is weighed."""
    is_refused: bool
    """True if no other shard is begun, because it would be refused as well."""


def next_steps(
    shard: ShardState,
    policy: Policy,
    queues: Mapping[str, int],
    *,
    is_ending: bool,
    is_finishing_sync: bool,
) -> NextSteps:
    """Return the shard's next steps. `queues` are the tokens that may be queued by model."""
    lacks_weight = _lacks_weight(shard, policy, queues)
    steps, submission = list(_steps(shard, policy, queues, is_ending=is_ending)), None
    if is_finishing_sync and _stays_unknown(shard, policy):
        steps = [(shard.since, actions.LeaveCreate(shard.plan.shard))]
    if lacks_weight:
        ends = (step for step in steps if isinstance(step[1], _ENDS))
        steps = [(0.0, actions.Weigh(shard.plan.shard)), *ends]
    elif steps and isinstance(steps[-1][1], actions.Upload | actions.Create):
        submission = steps.pop()
    return NextSteps(
        steps=tuple(steps),
        submission=submission,
        is_polled=shard.stage is Stage.LIVE
        and stuck_reason(shard, policy) is None
        and not lacks_weight,
        lacks_weight=lacks_weight,
        is_refused=(shard.blocked is not None and shard.stage in SUBMITTING)
        or (policy.max_cost is not None and is_unbounded(shard)),
    )


def _stays_unknown(shard: ShardState, policy: Policy) -> bool:
    """Return whether the deadline finds an unknown create that will not be fenced off."""
    was_searched = shard.is_search_over and shard.checked_at is not None
    may_fence = policy.on_unknown == OnUnknown.FENCE or shard.is_fenced
    return shard.stage is Stage.UNKNOWN and was_searched and not may_fence


def _steps(
    shard: ShardState, policy: Policy, queues: Mapping[str, int], *, is_ending: bool
) -> Iterator[Timed]:
    number = shard.plan.shard
    if shard.plan.origin is Origin.SYNCHRONOUS:
        if shard.stage is Stage.WAITING and stuck_reason(shard, policy) is None:
            yield shard.since, actions.AnswerLines(number)
        return
    if is_ending and shard.stage in WITHOUT_BATCH:
        yield shard.since, actions.Collect(number)
        return
    if stuck_reason(shard, policy) is not None:
        return
    not_before = shard.setback.until if shard.setback else 0.0
    for twin in shard.twins:
        if is_running(twin):
            yield not_before, actions.CancelTwin(number, twin.id)
    if _is_divisible(shard, queues):
        yield shard.since, actions.Divide(number, queues[queue_of(shard)])
        return
    step = _step(number, shard, policy, is_cancelled=is_ending)
    if step is not None:
        yield max(step[0], not_before), step[1]


def _lacks_weight(shard: ShardState, policy: Policy, queues: Mapping[str, int]) -> bool:
    """Return whether the shard must be weighed before anything more is sent."""
    has_none = shard.plan.origin in (Origin.UNKNOWN, Origin.SYNCHRONOUS)
    if shard.weight is not None or shard.stage is Stage.COLLECTED or has_none:
        return False
    is_limited = queue_of(shard) in queues and not shard.plan.tokens
    return policy.max_cost is not None or is_limited


def _is_divisible(shard: ShardState, queues: Mapping[str, int]) -> bool:
    """Return whether the shard is unsent, and too large to be queued as a whole."""
    limit = queues.get(queue_of(shard))
    is_too_large = limit is not None and tokens_of(shard) > limit
    return is_too_large and shard.stage is Stage.WAITING and shard.plan.lines > 1


def _step(number: int, shard: ShardState, policy: Policy, *, is_cancelled: bool) -> Timed | None:
    match shard.stage:
        case Stage.LIVE if is_cancelled and _must_be_cancelled(shard):
            return shard.since, actions.CancelBatch(number)
        case Stage.ENDED if is_cancelled and failed_in_passing(_batch(shard)):
            return shard.since, actions.Collect(number)
        case Stage.WAITING:  # case 1
            return shard.since, actions.Upload(number)
        case Stage.UPLOADING:  # case 2
            return shard.since, actions.FindUpload(number)
        case Stage.UPLOADED:  # case 3
            return shard.since, actions.Create(number)
        case Stage.UNKNOWN:  # case 4
            return _unknown_step(number, shard, policy)
        case Stage.ENDED:  # case 6
            return _ended_step(number, shard, policy)
        case Stage.COLLECTED | Stage.LIVE | Stage.CREATING:
            return None  # cases 7 and 5, which concern all at once, and a request under way


def _unknown_step(number: int, shard: ShardState, policy: Policy) -> Timed:
    checked = shard.checked_at
    if checked is None:
        return shard.since, actions.FindBatch(number)
    waits = policy.on_unknown == OnUnknown.WAIT and not shard.is_fenced
    if waits and checked < shard.since + policy.service_times.window:  # case 4b
        pause = policy.poll_interval(checked - shard.since) if shard.is_search_over else 0.0
        return checked + max(policy.polling.search, pause), actions.FindBatch(number)
    if policy.on_unknown != OnUnknown.STOP and not shard.is_fenced:  # case 4c
        return checked, actions.FenceCreate(number)
    if shard.is_search_over:
        return checked, actions.AbandonCreate(number)
    lag_ends = shard.since + policy.list_lag
    again = checked + policy.polling.search
    return min(again, lag_ends) if checked < lag_ends else again, actions.FindBatch(number)


def _ended_step(number: int, shard: ShardState, policy: Policy) -> Timed:
    batch, since = _batch(shard), shard.since
    may_go_again = shard.plan.origin is not Origin.UNKNOWN
    gives_up = shard.batches_given_up + 1 < policy.batch_retries.batches and may_go_again
    if failed_in_passing(batch) and gives_up:  # case 6a
        if told_limit(batch) is None:
            return since + policy.batch_wait(shard.batches_given_up), actions.GiveUpBatch(number)
        if shard.plan.lines > 1 or tokens_of(shard) <= (told_limit(batch) or 0):
            return since, actions.GiveUpBatch(number)  # it waits for room, not for time
    checked = since if shard.checked_at is None else shard.checked_at
    if awaits_files(batch) and checked < since + policy.service_times.late_files:  # case 6b
        return checked + policy.polling.first, actions.Poll(number)
    for source, file_id in (
        (Source.OUTPUT, batch.output_file_id),
        (Source.ERROR, batch.error_file_id),
    ):
        if file_id is not None and shard.file(source) is None:  # case 6c
            return since, actions.Download(number, source, file_id)
    return since, actions.Collect(number)  # case 6d


def _batch(shard: ShardState) -> Batch:
    assert shard.batch is not None, "a shard that ended has a batch"  # noqa: S101 - for the type checker
    return shard.batch


def _must_be_cancelled(shard: ShardState) -> bool:
    return shard.batch is not None and is_running(shard.batch) and not shard.is_cancel_requested


def stuck_reason(shard: ShardState, policy: Policy) -> str | None:
    if shard.blocked is not None:
        return shard.blocked
    setback = shard.setback
    if setback is not None and is_out_of_patience(setback, policy):
        return f"{setback.reason} (for {setback.last - setback.since:.0f} seconds)"
    was_searched = shard.is_search_over and shard.checked_at is not None
    if shard.stage is Stage.UNKNOWN and was_searched and policy.on_unknown == OnUnknown.STOP:
        return (
            f"a batch over {shard.file_id} was asked for, no answer came and none is in the list: "
            "it may not exist, or appear later and cost money"
        )
    return None


def is_out_of_patience(setback: Setback, policy: Policy) -> bool:
    return setback.last - setback.since >= policy.backoff.patience
