import subprocess
import sys
from dataclasses import fields, replace

import pytest

from batchsim import Limits
from batchsim.domain.constraints import Count, CountByName, Positive, Seconds, Share, check, is_a
from batchsim.domain.limits import ENQUEUED_TOKENS, OPENAI
from batchsim.errors import UsageError

NUMBERS = [each.name for each in fields(Limits) if each.name != "enqueued_tokens"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "100", None, [1]])
def test_a_limit_is_a_whole_number_from_1(name, value):
    with pytest.raises(UsageError, match=f"the limit {name} cannot be") as refused:
        Limits(**{name: value})
    assert refused.value.hint == "give a whole number, at least 1"


@pytest.mark.parametrize("value", [{"gpt-4o": -1}, {"gpt-4o": True}, {4: 1}, [1], None, 5])
def test_enqueued_tokens_are_counts_by_model(value):
    with pytest.raises(UsageError, match="enqueued_tokens cannot be") as refused:
        replace(OPENAI, enqueued_tokens=value)
    assert "'gpt-4o': 90_000" in refused.value.hint


def test_what_a_limit_can_be_is_taken():
    limits = Limits(requests_per_batch=1, enqueued_tokens=ENQUEUED_TOKENS)
    assert (limits.requests_per_batch, limits.enqueued_tokens["gpt-4o"]) == (1, 90_000)
    assert Limits(enqueued_tokens={"gpt-4o": 0}) != OPENAI == Limits()


def test_openais_own_limits_cost_no_import():
    script = "import sys, batchsim.domain.limits; sys.exit('msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (Count, [0, 5], [-1, True, 1.0, None, "1"]),
        (Positive, [1, 5], [0, True]),
        (Seconds, [0, 0.5, float("inf")], [-0.1, True, None, float("nan")]),
        (Share, [0, 0.5, 1], [1.1, -0.1, False]),
        (CountByName, [{}, ENQUEUED_TOKENS], [{"a": "b"}, []]),
    ],
)
def test_a_kind_takes_what_it_says(kind, right, wrong):
    assert all(is_a(each, kind) for each in right)
    assert not any(is_a(each, kind) for each in wrong)
    for each in wrong:
        with pytest.raises(UsageError, match="the amount cannot be"):
            check("the amount", each, kind)
