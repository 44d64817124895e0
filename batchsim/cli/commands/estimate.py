"""`batchsim estimate`: what an input asks for and costs, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from batchsim.amounts import counted, duration, money, size
from batchsim.cli.options.backend import chosen_provider, provider_option
from batchsim.cli.options.groups import examples
from batchsim.cli.options.job import any_model_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.cli.terminal.output import print_json
from batchsim.cli.terminal.stdin import STANDARD_INPUT, opened_input
from batchsim.cli.terminal.table import columns, table
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.limits import OPENAI
from batchsim.domain.validation.error_explanation import shown
from batchsim.errors import InputError
from batchsim.pricing import token_counter
from batchsim.pricing.cost_estimate import Cost, Estimate, Estimates
from batchsim.pricing.prices import price

if TYPE_CHECKING:
    from batchsim.runner.planning.plan import Plan
    from batchsim.runner.progress.forecast import Expectation

Number = TypeVar("Number", int, Decimal)

UNKNOWN = "unknown"
UNBOUNDED = "unbounded"

_COLUMNS = columns(
    "MODEL", "ENDPOINT", ">LINES", ">BATCHES", ">UPLOAD", ">TOKENS", "", ">BATCH PRICE",
    ">ORDINARY PRICE"
)  # fmt: skip


@click.command(epilog=examples("estimate input.jsonl", "estimate --provider groq input.jsonl"))
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
    estimates = Estimates()
    plan = _plan(source, estimates, supports)
    demands = list(estimates.all())
    groups = [(demand, _share(plan, [demand])) for demand in demands]
    total = _share(plan, demands)
    if as_json:
        print_json({**_sums(total), "groups": [_group(*each) for each in groups]})
        return ALL_GOOD
    rows = [_pair(each.model or "none", each.endpoint, share) for each, share in groups]
    if len(groups) > 1:
        rows.append(_pair("total", "", total))
    for line in table(_COLUMNS, chain.from_iterable(rows)):
        click.echo(line)
    for note in (*_notes(demands), *_notes_on_counting(demands), _note_on_time(total.expected)):
        click.echo(f"note: {note}", err=True)
    return ALL_GOOD


class _Price(NamedTuple):
    """US dollars for prompts, and at most for output; None where not known, or not bounded."""

    prompts: Decimal | None
    most_output: Decimal | None

    @classmethod
    def of(cls, costs: Sequence[Cost | None]) -> _Price:
        return cls(
            _sum(None if cost is None else cost.input for cost in costs),
            _sum(None if cost is None else cost.most_output for cost in costs),
        )

    def cells(self) -> tuple[str, str]:
        if self.prompts is None:
            return UNKNOWN, UNKNOWN
        most = UNBOUNDED if self.most_output is None else money(self.most_output)
        return money(self.prompts), most

    def to_object(self) -> dict[str, float | None]:
        prompts, most = self
        return {
            "input": None if prompts is None else float(prompts),
            "most_output": None if most is None else float(most),
        }


class _Share(NamedTuple):
    """One model at one endpoint, or all of them: what the lines ask for, and how they are sent."""

    lines: int
    batches: int
    bytes: int
    prompt_tokens: int
    most_output_tokens: int | None
    unbounded_lines: int
    unseen_lines: int
    is_counted: bool
    batch: _Price
    ordinary: _Price
    expected: Expectation


def _plan(source: str, estimates: Estimates, supports: Callable[[str], bool] | None) -> Plan:
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
                observe=estimates.add,
            )
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", path=name) from None


def _share(plan: Plan, demands: Sequence[Estimate]) -> _Share:
    from batchsim.runner.progress.forecast import expect, together

    expected, batches, size_of_all = [], 0, 0
    for demand in demands:
        group = (demand.endpoint, demand.model)
        shards = [each for each in plan.shards if (each.endpoint, each.model) == group]
        batches += len(shards)
        size_of_all += sum(shard.bytes for shard in shards)
        expected.append(expect(demand.model, demand.lines, demand.prompt_tokens, len(shards)))
    return _Share(
        lines=sum(each.lines for each in demands),
        batches=batches,
        bytes=size_of_all,
        prompt_tokens=sum(each.prompt_tokens for each in demands),
        most_output_tokens=_sum(each.most_output_tokens for each in demands),
        unbounded_lines=sum(each.unbounded_lines for each in demands),
        unseen_lines=sum(each.unseen_lines for each in demands),
        is_counted=all(each.vocabulary is not None for each in demands),
        batch=_Price.of([each.cost(batch=True) for each in demands]),
        ordinary=_Price.of([each.cost(batch=False) for each in demands]),
        expected=together(expected),
    )


def _sum(amounts: Iterable[Number | None]) -> Number | None:
    """Return the sum; None when an amount is not known."""
    known = list(amounts)
    return None if None in known else sum(each for each in known if each is not None)  # type: ignore[return-value] # of an int or a Decimal


def _pair(model: str, endpoint: str, share: _Share) -> Iterator[tuple[str, ...]]:
    (batch, most_batch), (ordinary, most_ordinary) = share.batch.cells(), share.ordinary.cells()
    most = share.most_output_tokens
    yield (
        model,
        endpoint,
        f"{share.lines:,}",
        f"{share.batches:,}",
        size(share.bytes),
        f"{share.prompt_tokens:,}",
        "in, counted" if share.is_counted else "in, estimated",
        batch,
        ordinary,
    )
    tokens = UNBOUNDED if most is None else f"{most:,}"
    yield (*("",) * 5, tokens, "out, at most", most_batch, most_ordinary)


def _notes(demands: Iterable[Estimate]) -> Iterator[str]:
    for demand in demands:
        name = shown(demand.model or "no model", 64)
        if demand.cost(batch=True) is None:
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


def _notes_on_counting(demands: Iterable[Estimate]) -> Iterator[str]:
    estimated = [demand.model or "" for demand in demands if not demand.vocabulary]
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


def _group(demand: Estimate, share: _Share) -> dict[str, Any]:
    """Return the JSON object of one model at one endpoint."""
    is_known = share.batch.prompts is not None
    return {
        "model": demand.model,
        "endpoint": demand.endpoint,
        **_sums(share),
        "counted_with": demand.vocabulary,
        "price_known": is_known,
        "batch_price_listed": is_known and not _is_half(demand),
    }


def _sums(share: _Share) -> dict[str, Any]:
    """Return amounts as JSON; null stands for what is not known, or not bounded."""
    expected = share.expected
    return {
        "lines": share.lines,
        "batches": share.batches,
        "upload_bytes": share.bytes,
        "prompt_tokens": share.prompt_tokens,
        "most_output_tokens": share.most_output_tokens,
        "unbounded_lines": share.unbounded_lines,
        "unseen_prompt_lines": share.unseen_lines,
        "batch_usd": share.batch.to_object(),
        "ordinary_usd": share.ordinary.to_object(),
        "expected_seconds": {
            "usual": round(expected.usual),
            "slow": round(expected.slow),
            "longest": round(expected.longest),
        },
        "queue_turns": expected.turns,
    }
