"""The cap on the cost of a job: what is spent, what is reserved, and what is still free.

Theory of operation. Before a batch is created, the most that it can cost is reserved, in the same
transaction as the intent. Once its results are here, its real cost replaces the reservation.
Spent and reserved together never exceed the cap.

The most that a batch can cost: its prompts as pricing.bounds has them (counted, or one token a
byte), and every answer as long as its request allows. Where nothing bounds the output, or the
price of the model is not known, nothing can be reserved and nothing is uploaded. A batch that
failed costs nothing. One that may exist keeps its reservation, even if it was given up.

Without a cap no costs are recorded, since loading the prices takes longer than a small job. If the
job gets a cap later, the usage of its batches still tells their cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

from batchsim.domain.answers import usage_of
from batchsim.domain.batches import Batch, Usage
from batchsim.domain.lines import ResultLine
from batchsim.errors import JobIncomplete
from batchsim.pricing.prices import cost
from batchsim.runner.job import JobState, ShardState, Stage
from batchsim.runner.journal import Anomaly
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Origin, Planned, Weighed
from batchsim.runner.planning.token_bounds import Bounds
from batchsim.runner.policy import Policy, is_void
from batchsim.runner.results.lost_results import lost_results

_BATCH_EXISTS = frozenset({Stage.CREATING, Stage.UNKNOWN, Stage.LIVE, Stage.ENDED, Stage.COLLECTED})
_FREE = "/v1/moderations"
"""The endpoint that costs nothing (API reference)."""

_WRITING = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
"""The endpoints whose good answers tell tokens of both kinds."""

_MAY_HAVE_RUN = (
    HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT, 520, 524
)  # fmt: skip
"""Statuses of what stands before a service (the last two Cloudflare's): it sent the request on."""

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Balance:
    """US dollars: spent for good, and reserved for what may still be spent."""

    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    def __add__(self, other: Balance) -> Balance:
        return Balance(self.spent + other.spent, self.reserved + other.reserved)

    def __sub__(self, other: Balance) -> Balance:
        return Balance(self.spent - other.spent, self.reserved - other.reserved)

    def left(self, cap: Decimal) -> Decimal:
        return cap - self.spent - self.reserved


def balance(state: JobState) -> Balance:
    return sum((balance_of(shard) for shard in state.shards.values()), start=Balance())


def balance_of(shard: ShardState) -> Balance:
    late = _paid_without_cap(shard)
    spent = shard.spent + (late or Decimal(0))
    reserved = shard.at_risk + (_reserved(shard) if late is None else Decimal(0))
    for twin in shard.twins:
        known = _usage_cost(shard.plan, twin.usage) if twin.status.is_terminal else None
        if known is not None and (twin.usage.total_tokens or is_void(twin)):
            spent += known
        else:
            reserved += cost_bound(shard) or Decimal(0)
    return Balance(spent, reserved)


def cost_bound(shard: ShardState) -> Decimal | None:
    """Return the most that a batch of the shard can cost; None when that is not known."""
    weight = shard.weight
    if shard.plan.endpoint == _FREE:
        return Decimal(0)
    if weight is None or weight.most_prompt is None or weight.most_output is None:
        return None
    usage = Usage(input_tokens=weight.most_prompt, output_tokens=weight.most_output)
    return _usage_cost(shard.plan, usage)


def answer_cost_bound(plan: Planned, bounds: Bounds) -> Decimal | None:
    """Return the most that a line can cost without a batch; None when that is not known."""
    if plan.endpoint == _FREE:
        return Decimal(0)
    if bounds.prompt is None or bounds.output is None:
        return None
    usage = Usage(input_tokens=bounds.prompt, output_tokens=bounds.output)
    return _usage_cost(plan, usage)


def answer_cost(plan: Planned, answer: ResultLine) -> Decimal | None:
    """Return the cost of an answer without a batch, by its usage; None when that is not known.

    A refusal costs nothing, but a request may have been billed whose answer got lost on its way.
    """
    if answer.response is None:
        return None
    usage = usage_of(answer.response.body)
    is_told = bool(usage.total_tokens) or plan.endpoint == _FREE
    if (
        answer.is_ok
        and plan.endpoint in _WRITING
        and not (usage.input_tokens and usage.output_tokens)
    ):
        return None
    if not is_told and (answer.is_ok or answer.response.status_code in _MAY_HAVE_RUN):
        return None
    return _usage_cost(plan, usage) if is_told else Decimal(0)


def batch_cost(
    plan: Planned, batch: Batch | None, tally: Tally, found: tuple[Anomaly, ...]
) -> Decimal | None:
    """Return the cost of a batch, by its own usage or that of its results, whichever is more.

    None when its price is not known, or when lines ran and no usage tells what they cost.
    """
    told = [tally.usage] + ([batch.usage] if batch else [])
    is_told = batch is not None and bool(batch.usage.total_tokens)
    was_run = tally.ok if tally.usage.total_tokens == 0 else 0
    if not is_told and (was_run or lost_results(batch, tally, found)):
        return Decimal(0) if plan.endpoint == _FREE else None
    costs = [_usage_cost(plan, usage) for usage in told]
    return None if None in costs else max(each for each in costs if each is not None)


def check_reservation(balance: Balance, policy: Policy, amount: Decimal | None) -> None:
    """Raise JobIncomplete when `amount` may not be reserved on top of `balance`."""
    cap = policy.max_cost
    if cap is not None and (amount is None or amount > balance.left(cap)):
        raise JobIncomplete(
            f"the cap of {dollars(cap)} leaves no room for another batch or request"
        )


def is_unbounded(shard: ShardState) -> bool:
    return shard.weight is not None and cost_bound(shard) is None


def refusals(state: JobState, policy: Policy) -> Iterator[str]:
    """Yield why a job under a cap cannot be sent at all: its cost has no bound."""
    if policy.max_cost is None:
        return
    given = set()
    for shard in state.shards.values():
        if shard.weight is None or not is_unbounded(shard):
            continue
        reason = _unbounded(shard.plan, shard.weight)
        if reason not in given:
            given.add(reason)
            yield reason


def shortage(shard: ShardState, left: Decimal, cap: Decimal) -> str:
    return (
        f"it may cost up to {dollars(cost_bound(shard) or Decimal(0))}, and {cap_left(cap, left)}"
    )


def cap_left(cap: Decimal, left: Decimal) -> str:
    return f"{dollars(max(left, Decimal(0)))} of the {dollars(cap)} cap is left"


def dollars(amount: Decimal) -> str:
    return f"${amount.quantize(CENT)}" if amount >= CENT or not amount else f"${amount:.6f}"


def _reserved(shard: ShardState) -> Decimal:
    if shard.plan.origin is Origin.SYNCHRONOUS:
        return sum((each for each in shard.answer_reserves.values() if each), Decimal(0))
    if shard.stage is Stage.COLLECTED and shard.batch is None:
        return Decimal(0)
    if shard.is_cost_recorded or shard.stage not in _BATCH_EXISTS:
        return Decimal(0)
    if shard.batch is not None and is_void(shard.batch):
        return Decimal(0)
    reserved = shard.reserved
    return (cost_bound(shard) or Decimal(0)) if reserved is None else reserved


def _paid_without_cap(shard: ShardState) -> Decimal | None:
    """Return the cost of a batch that was collected while the job had no cap, if it is known."""
    if shard.is_cost_recorded or shard.tally is None or shard.batch is None:
        return None
    return batch_cost(shard.plan, shard.batch, shard.tally, shard.differences)


def _usage_cost(plan: Planned, usage: Usage) -> Decimal | None:
    if plan.endpoint == _FREE:
        return Decimal(0)
    return cost(plan.model or "", usage, batch=plan.origin is not Origin.SYNCHRONOUS)


def _unbounded(plan: Planned, weight: Weighed) -> str:
    model = plan.model or "no model"
    if weight.most_output is None:
        what = f"lines for {model} set no limit to their output"
        return (
            f"{what}: give every body max_completion_tokens (or max_tokens, max_output_tokens), "
            "and n, if at all, as a whole number"
        )
    if weight.most_prompt is None:
        what = f"lines for {model} name images, files, stored prompts or the service's own tools"
        return f"{what}, whose tokens nothing bounds"
    return f"the price of {model} is not known"
