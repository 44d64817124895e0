"""Prices in US dollars, from the list in the `genai-prices` package.

Nothing is fetched: a price is as new as the installed package. Requests whose prompt is so long
that a higher price applies to them (above 272,000 tokens for gpt-5.4 and newer) are counted at the
ordinary one, since a batch reports its tokens as one sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from batchsim.domain.batches import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

BATCH_DISCOUNT = Decimal("0.5")  # of the ordinary price, unless a batch price is listed (reference)

# The list knows prices by their first day; this asks for the newest without asking for the time.
_NEWEST = datetime(9999, 1, 1, tzinfo=UTC)

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model, in US dollars per million tokens.

    `is_listed` is False where this is half of the ordinary price, and not a price of the list.
    Image models are priced at their image rates, which are the higher ones.
    """

    input: Decimal
    cached_input: Decimal
    output: Decimal
    is_listed: bool = True

    def cost(self, usage: Usage) -> Decimal:
        cached = min(usage.cached_tokens, usage.input_tokens)
        fresh = usage.input_tokens - cached
        total = fresh * self.input + cached * self.cached_input + usage.output_tokens * self.output
        return total / _MILLION


@lru_cache(maxsize=256)
def price(model: str, *, batch: bool) -> Price | None:
    """The price of `model` (an alias or a dated name), in a `batch` or outside; None when unknown.

    Where no price for cached input is listed, cached tokens cost what other input costs.
    """
    known = _find(model)
    ordinary = None if known is None else _price(known.get_prices(_NEWEST))
    if known is None or ordinary is None or not batch:
        return ordinary
    return _listed_batch_price(known, ordinary) or Price(
        ordinary.input * BATCH_DISCOUNT,
        ordinary.input * BATCH_DISCOUNT,
        ordinary.output * BATCH_DISCOUNT,
        is_listed=False,
    )


def cost(model: str, usage: Usage, *, batch: bool) -> Decimal | None:
    """The cost of `usage` in US dollars; None, never zero, when the model's price is unknown."""
    known = price(model, batch=batch)
    return None if known is None else known.cost(usage)


def _find(model: str) -> ModelInfo | None:
    from genai_prices import data_snapshot

    try:
        _, known = data_snapshot.get_snapshot().find_provider_model(model, None, "openai", None)
    except LookupError:
        return None
    return known


def _listed_batch_price(model: ModelInfo, ordinary: Price) -> Price | None:
    for variant in model.price_variants or ():
        if variant.when == {"processing": "batch"}:
            listed = _price(variant.prices)
            if listed is not None and bool(listed.output) == bool(ordinary.output):
                return listed
    return None


def _price(prices: Any) -> Price | None:
    read = _rate(prices, "input_image_mtok", "input_mtok")
    written = _rate(prices, "output_image_mtok", "output_mtok")
    if read is None:
        return None
    cached = _rate(prices, "cache_image_read_mtok", "cache_read_mtok")
    return Price(read, read if cached is None else cached, written or Decimal(0))


def _rate(prices: Any, *names: str) -> Decimal | None:
    for name in names:
        rate = getattr(prices, name, None)
        if rate is not None:
            amount = Decimal(getattr(rate, "base", rate))
            if amount.is_finite() and amount > 0:  # what costs nothing or less is a gap in the list
                return amount
    return None
