import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace

import pytest
from genai_prices import data_snapshot

from batchsim.domain.batches import Usage
from batchsim.pricing.prices import cost, price

BATCH_PRICES = [
    ("gpt-6-luna", "0.05", "0.005", "0.25"),
    ("gpt-5.4", "1.25", "0.13", "7.50"),
    ("gpt-5.4-mini", "0.375", "0.0375", "2.25"),
    ("gpt-5", "0.625", "0.0625", "5.00"),
    ("gpt-5.1", "0.625", "0.0625", "5.00"),
    ("gpt-5-mini", "0.125", "0.0125", "1.00"),
    ("gpt-5-nano", "0.025", "0.0025", "0.20"),
    ("gpt-4.1", "1.00", "1.00", "4.00"),
    ("gpt-4.1-nano", "0.05", "0.05", "0.20"),
    ("gpt-4o", "1.25", "1.25", "5.00"),
    ("gpt-4o-mini", "0.075", "0.075", "0.30"),
    ("gpt-4o-mini-2024-07-18", "0.075", "0.075", "0.30"),
    ("o3", "1.00", "1.00", "4.00"),
    ("o4-mini", "0.55", "0.55", "2.20"),
    ("gpt-3.5-turbo", "0.25", "0.25", "0.75"),
    ("gpt-3.5-turbo-0125", "0.25", "0.25", "0.75"),
]
"""US dollars per million tokens: input, cached input, output (API reference, "Pricing")."""


@pytest.mark.parametrize(("model", "read", "cached", "written"), BATCH_PRICES)
def test_row_147_batch_prices_are_the_listed_ones(model, read, cached, written):
    known = price(model, batch=True)
    assert (known.input, known.cached_input, known.output, known.is_listed) == (
        Decimal(read),
        Decimal(cached),
        Decimal(written),
        True,
    )


@pytest.mark.parametrize("model", [case[0] for case in BATCH_PRICES])
def test_row_147_a_batch_costs_half(model):
    ordinary, batch = price(model, batch=False), price(model, batch=True)
    assert (batch.input * 2, batch.output * 2) == (ordinary.input, ordinary.output)


@pytest.mark.parametrize(
    ("model", "read"), [("text-embedding-3-small", "0.01"), ("text-embedding-3-large", "0.065")]
)
def test_a_batch_price_that_is_not_listed_is_half_and_says_so(model, read):
    known = price(model, batch=True)
    assert (known.input, known.cached_input, known.output) == (Decimal(read), Decimal(read), 0)
    assert known.is_listed is False


@pytest.mark.parametrize(
    ("model", "batch", "expected"),
    [
        ("gpt-3.5-turbo-0125", True, "1.00"),
        ("gpt-3.5-turbo-0125", False, "2.0"),
        ("gpt-4o-mini", True, "0.375"),
        ("text-embedding-3-small", True, "0.010"),
    ],
)
def test_a_million_tokens_each_way_cost_the_sum_of_the_prices(model, batch, expected):
    assert cost(model, Usage(1_000_000, 1_000_000), batch=batch) == Decimal(expected)


def test_cached_tokens_have_their_own_price_and_reasoning_is_output():
    usage = Usage(input_tokens=3_000, output_tokens=1_000, cached_tokens=1_024, reasoning_tokens=64)
    expected = (1_976 * Decimal("0.025") + 1_024 * Decimal("0.0025") + 200) / 1_000_000
    assert cost("gpt-5-nano", usage, batch=True) == expected


def test_nothing_used_costs_nothing():
    assert cost("gpt-4o", Usage(), batch=True) == 0


@pytest.mark.parametrize("model", ["never-heard-of", "", "claude-sonnet-4-5", "sora-2"])
@pytest.mark.parametrize("batch", [True, False])
def test_an_unknown_model_has_no_price_rather_than_none_to_pay(model, batch):
    assert price(model, batch=batch) is None
    assert cost(model, Usage(1, 1), batch=batch) is None


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity", "-Infinity"])
def test_row_116_a_rate_that_can_be_none_makes_the_price_unknown(monkeypatch, rate):
    """Zero included: what a batch costs is never told as nothing because the list has a gap."""
    listed = SimpleNamespace(input_mtok=Decimal(rate), output_mtok=Decimal(1))
    model = SimpleNamespace(get_prices=lambda _: listed, price_variants=())
    known = SimpleNamespace(find_provider_model=lambda *_: (None, model))
    monkeypatch.setattr(data_snapshot, "get_snapshot", lambda: known)
    name = f"priced-at-{rate}"
    assert price(name, batch=True) is price(name, batch=False) is None
    assert cost(name, Usage(1, 1), batch=True) is None


def test_image_models_are_priced_at_their_image_rates():
    assert price("gpt-image-1.5", batch=True).output == 16


def test_the_price_list_is_imported_only_when_a_price_is_asked_for():
    code = "import batchsim.pricing.prices, sys; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
