"""`batchsim estimate`: what an input asks for and costs, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from batchsim.amounts import counted, duration, money, size
from batchsim.cli.options.backend import chosen_provider, provider_option
from batchsim.cli.options.job import any_model_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.cli.terminal.output import print_json
from batchsim.cli.terminal.stdin import STANDARD_INPUT, opened_input
from batchsim.cli.terminal.table import Column, table
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.limits import OPENAI
from batchsim.domain.validation.diagnosis import shown
from batchsim.errors import InputError
from batchsim.pricing import token_counter
from batchsim.pricing.cost_estimate import Cost, Estimate, Estimates
from batchsim.pricing.prices import price

if TYPE_CHECKING:
    from batchsim.runner.planning.plan import Plan
    from batchsim.runner.progress.forecast import Expectation

UNKNOWN = "unknown"
UNBOUNDED = "unbounded"

_COLUMNS = (
    Column("MODEL"),
    Column("ENDPOINT"),
    Column("LINES", is_number=True),
    Column("BATCHES", is_number=True),
    Column("UPLOAD", is_number=True),
    Column("TOKENS", is_number=True),
    Column(""),
    Column("BATCH PRICE", is_number=True),
    Column("ORDINARY PRICE", is_number=True),
)


_EXAMPLES = (
    "\b\nExamples:\n"
    "  batchsim estimate input.jsonl\n"
    "  batchsim estimate --provider groq input.jsonl\n"
)


@click.command(epilog=_EXAMPLES)
@click.argument("source", metavar="INPUT")
@any_model_option()
@provider_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def estimate(*, source: str, supports: Callable[[str], bool] | None, as_json: bool) -> int:
    """Estimate the tokens, the price and the time of an input file.

    INPUT is a JSONL file, or - for standard input.

    Nothing is sent. The input is checked and cut into batches as `batchsim run` does it. Prompt
    tokens are counted with the model's vocabulary if batchsim[tokens] is installed; otherwise they
    are estimated from the lengths of the texts. Output has a limit only where every body sets one:
    max_tokens, max_completion_tokens or max_output_tokens. Exits 2 if the input is not valid.
    """
    demands = Estimates()
    plan = _plan(source, demands, supports)
    shares = _shares(plan, demands.all())
    if as_json:
        print_json(_object(shares))
        return ALL_GOOD
    for line in table(_COLUMNS, _rows(shares)):
        click.echo(line)
    for note in (*_notes(shares), *_notes_on_counting(shares), _note_on_time(_expected(shares))):
        click.echo(f"note: {note}", err=True)
    return ALL_GOOD


@dataclass(frozen=True, slots=True)
class _Share:
    """One model at one endpoint: what its lines ask for, and how they would be sent."""

    demand: Estimate
    batches: int
    bytes: int
    batch_cost: Cost | None
    ordinary_cost: Cost | None
    expected: Expectation


def _plan(source: str, demands: Estimates, supports: Callable[[str], bool] | None) -> Plan:
    from batchsim.runner.planning.plan import make_plan

    name = "standard input" if source == STANDARD_INPUT else source
    provider = chosen_provider()
    if provider is not None and not provider.has_openai_models:
        supports = supports or (lambda _: True)
    with opened_input(source) as stream:
        try:
            return make_plan(
                stream,
                path=name,
                limits=OPENAI if provider is None else provider.limits,
                supports=supports or is_openai_model,
                observe=demands.add,
            )
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", path=name) from None


def _shares(plan: Plan, demands: Iterable[Estimate]) -> list[_Share]:
    from batchsim.runner.progress.forecast import expect

    shares = []
    for demand in demands:
        group = (demand.endpoint, demand.model)
        shards = [each for each in plan.shards if (each.endpoint, each.model) == group]
        upload = sum(shard.bytes for shard in shards)
        costs = (demand.cost(batch=True), demand.cost(batch=False))
        expected = expect(demand.model, demand.lines, demand.prompt_tokens, len(shards))
        shares.append(_Share(demand, len(shards), upload, *costs, expected))
    return shares


def _expected(shares: Iterable[_Share]) -> Expectation:
    from batchsim.runner.progress.forecast import together

    return together(share.expected for share in shares)


def _rows(shares: Sequence[_Share]) -> Iterator[tuple[str, ...]]:
    for share in shares:
        yield from _pair(share.demand.model or "none", share.demand.endpoint, [share])
    if len(shares) > 1:
        yield from _pair("total", "", shares)


def _pair(model: str, endpoint: str, shares: Sequence[_Share]) -> Iterator[tuple[str, ...]]:
    """A row for the prompts and one for the output."""
    lines, batches, upload = _amounts(shares)
    yield (
        model,
        endpoint,
        f"{lines:,}",
        f"{batches:,}",
        size(upload),
        f"{sum(share.demand.prompt_tokens for share in shares):,}",
        _manner(shares),
        _money(_input_cost(share.batch_cost for share in shares)),
        _money(_input_cost(share.ordinary_cost for share in shares)),
    )
    most = _most_output_tokens(shares)
    yield (
        *("",) * 5,
        UNBOUNDED if most is None else f"{most:,}",
        "out, at most",
        _bound([share.batch_cost for share in shares]),
        _bound([share.ordinary_cost for share in shares]),
    )


def _manner(shares: Iterable[_Share]) -> str:
    manners = {share.demand.vocabulary is not None for share in shares}
    return "in, counted" if manners == {True} else "in, estimated"


def _money(amount: Decimal | None) -> str:
    return UNKNOWN if amount is None else money(amount)


def _bound(costs: Sequence[Cost | None]) -> str:
    """The most that the output costs: a price that is not known comes before a missing limit."""
    most = _most_output_cost(costs)
    if most is not None:
        return money(most)
    return UNKNOWN if None in costs else UNBOUNDED


def _amounts(shares: Iterable[_Share]) -> tuple[int, int, int]:
    """Lines, batches and bytes to upload."""
    amounts = ((share.demand.lines, share.batches, share.bytes) for share in shares)
    lines, batches, upload = (sum(column) for column in zip(*amounts, strict=True))
    return lines, batches, upload


def _most_output_tokens(shares: Iterable[_Share]) -> int | None:
    bounds = [share.demand.most_output_tokens for share in shares]
    known = [bound for bound in bounds if bound is not None]
    return sum(known) if len(known) == len(bounds) else None


def _input_cost(costs: Iterable[Cost | None]) -> Decimal | None:
    return _sum(costs, lambda cost: cost.input)


def _most_output_cost(costs: Iterable[Cost | None]) -> Decimal | None:
    return _sum(costs, lambda cost: cost.most_output)


def _sum(costs: Iterable[Cost | None], part: Callable[[Cost], Decimal | None]) -> Decimal | None:
    """The sum of one part of the costs; None when it is not known of one of them."""
    total = Decimal(0)
    for cost in costs:
        amount = None if cost is None else part(cost)
        if amount is None:
            return None
        total += amount
    return total


def _notes(shares: Iterable[_Share]) -> Iterator[str]:
    for share in shares:
        demand = share.demand
        name = shown(demand.model or "no model", 64)
        if share.batch_cost is None:
            yield f"the price of {name} is not known, so the total is not known either"
        elif _is_half(demand):
            yield f"no batch price of {name} is listed: half of its ordinary price is taken"
        some = f"of the {counted(demand.lines, 'line')} for {name} at {demand.endpoint}"
        if 0 < demand.unbounded_lines < demand.lines:
            yield f"there is no limit to the output of {demand.unbounded_lines:,} {some}"
        if demand.unseen_lines:
            yield (
                "a stored prompt, a conversation or an earlier response is named by "
                f"{demand.unseen_lines:,} {some}: its tokens cost money and are not counted here"
            )


def _notes_on_counting(shares: Iterable[_Share]) -> Iterator[str]:
    estimated = [share.demand.model or "" for share in shares if not share.demand.vocabulary]
    known = [model for model in estimated if token_counter.vocabulary_of(model)]
    if known and not token_counter.has_vocabularies():
        yield (
            "prompt tokens are estimated from lengths, mostly within a quarter; "
            "pip install 'batchsim[tokens]' to have them counted"
        )


def _note_on_time(expected: Expectation) -> str:
    from batchsim.runner.progress.forecast import SOURCE

    turns = (
        f" in {expected.turns:,} turns of a new account's queue"
        if expected.turns and expected.turns > 1
        else ""
    )
    return (
        f"expect {duration(expected.usual)} to {duration(expected.slow)}{turns}, and "
        f"{duration(expected.longest)} at most: {SOURCE}"
    )


def _is_half(demand: Estimate) -> bool:
    known = price(demand.model or "", batch=True)
    return known is not None and not known.is_listed


def _object(shares: Sequence[_Share]) -> dict[str, Any]:
    """Dollars are numbers; null stands for an unknown price and for what nothing bounds.

    `counted_with` is the vocabulary, null for an estimate from lengths; `queue_turns` is how often
    a new account's queue has to be filled, null where its limit is not known.
    """
    return {
        **_sums(shares),
        "groups": [
            {
                "model": share.demand.model,
                "endpoint": share.demand.endpoint,
                **_sums([share]),
                "counted_with": share.demand.vocabulary,
                "price_known": share.batch_cost is not None,
                "batch_price_listed": share.batch_cost is not None and not _is_half(share.demand),
            }
            for share in shares
        ],
    }


def _sums(shares: Sequence[_Share]) -> dict[str, Any]:
    lines, batches, upload = _amounts(shares)
    expected = _expected(shares)
    return {
        "lines": lines,
        "batches": batches,
        "upload_bytes": upload,
        "prompt_tokens": sum(share.demand.prompt_tokens for share in shares),
        "most_output_tokens": _most_output_tokens(shares),
        "unbounded_lines": sum(share.demand.unbounded_lines for share in shares),
        "unseen_prompt_lines": sum(share.demand.unseen_lines for share in shares),
        "batch_usd": _cost_object([share.batch_cost for share in shares]),
        "ordinary_usd": _cost_object([share.ordinary_cost for share in shares]),
        "expected_seconds": {
            "usual": round(expected.usual),
            "slow": round(expected.slow),
            "longest": round(expected.longest),
        },
        "queue_turns": expected.turns,
    }


def _cost_object(costs: Sequence[Cost | None]) -> dict[str, float | None]:
    read, most = _input_cost(costs), _most_output_cost(costs)
    return {
        "input": None if read is None else float(read),
        "most_output": None if most is None else float(most),
    }
