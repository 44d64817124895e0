from decimal import Decimal

import pytest

from batchsim.domain.lines import RequestLine
from batchsim.pricing.cost_estimate import Cost, Estimate, Estimates

CHAT = "/v1/chat/completions"


def request(model="gpt-4o-mini", url=CHAT, **body):
    body = {"messages": [{"role": "user", "content": "x" * 44}], **body}  # 3 + 3 + 10 tokens
    return RequestLine(1, "a", url, model, body)


@pytest.fixture(autouse=True)
def no_vocabularies(monkeypatch):
    """Estimate from lengths, as where batchsim[tokens] is not installed."""
    monkeypatch.setattr("batchsim.pricing.token_counter.has_vocabularies", lambda: False)


def test_lines_add_up_by_endpoint_and_model_in_the_order_of_their_first():
    estimates = Estimates()
    for each in (request(), request("gpt-4o"), request(max_tokens=5), request(url="/v1/responses")):
        estimates.add(each)
    assert estimates.all() == (
        Estimate(CHAT, "gpt-4o-mini", 2, 32, 5, 1),
        Estimate(CHAT, "gpt-4o", 1, 16, 0, 1),
        Estimate("/v1/responses", "gpt-4o-mini", 1, 16, 0, 1),
    )


def test_prompts_and_bounds_cost_their_own_prices():
    estimate = Estimate(CHAT, "gpt-4o-mini", 2, 1_000_000, 2_000_000)
    assert estimate.cost(batch=True) == Cost(Decimal("0.075"), Decimal("0.6"))
    assert estimate.cost(batch=False) == Cost(Decimal("0.15"), Decimal("1.2"))


def test_output_without_a_bound_has_no_greatest_cost():
    estimate = Estimate(CHAT, "gpt-4o-mini", 2, 1_000_000, 5, unbounded_lines=1)
    assert estimate.most_output_tokens is None
    assert estimate.cost(batch=True) == Cost(Decimal("0.075"), None)


def test_an_unknown_model_costs_an_unknown_amount():
    assert Estimate(CHAT, "gpt-9-unheard-of", 1, 1, 1).cost(batch=True) is None
    assert Estimate("/v1/moderations", None, 1, 1, 0).cost(batch=False) is None


@pytest.mark.parametrize(
    ("url", "body", "unseen"),
    [
        ("/v1/responses", {"previous_response_id": "resp_1"}, 1),
        ("/v1/responses", {"conversation": "conv_1"}, 1),
        ("/v1/responses", {"conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1"}}, 1),
        ("/v1/responses", {"prompt": {"id": "pmpt_1"}}, 1),
        ("/v1/responses", {"previous_response_id": None, "input": "a"}, 0),
        ("/v1/completions", {"prompt": "a"}, 0),
    ],
    ids=str,
)
def test_prompts_that_lie_elsewhere_are_counted(url, body, unseen):
    estimate = Estimate(url, "gpt-4o-mini")
    estimate.add(request(url=url, **body))
    assert estimate.unseen_lines == unseen
