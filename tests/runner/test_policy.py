"""Waits and judgements."""

from __future__ import annotations

import math
from dataclasses import fields
from decimal import Decimal

import pytest

from batchsim.errors import AuthenticationFailed, NotFound, RateLimited, Refused, UsageError
from batchsim.runner.policy import (
    Backoff,
    BatchRetries,
    Policy,
    Polling,
    ServiceTimes,
    SyncFinish,
    is_passing,
)
from batchsim.runner.run import run

POLICY = Policy()


@pytest.mark.parametrize(
    ("age", "interval"), [(0, 10), (99, 10), (100, 10), (250, 25), (600, 60), (86_400, 60)]
)
def test_polling_begins_at_ten_seconds_and_slows_to_a_minute(age, interval):
    assert POLICY.poll_interval(age) == interval


@pytest.mark.parametrize(
    ("setbacks", "retry_after", "wait"),
    [
        (1, None, 2),
        (2, None, 4),
        (5, None, 32),
        (9, None, 300),
        (10_000, None, 300),
        (1, 30, 30),
        (5, 1, 32),
        (1, -7, 2),
        (1, 9_999, 3_600),
    ],
)
def test_waits_double_up_to_a_bound_and_heed_the_service(setbacks, retry_after, wait):
    assert POLICY.wait(setbacks, retry_after) == wait


def test_the_wait_for_another_batch_doubles_up_to_half_an_hour():
    assert [POLICY.batch_wait(n) for n in (0, 1, 2, 5, 50)] == [60, 120, 240, 1_800, 1_800]


@pytest.mark.parametrize(
    ("refusal", "passing"),
    [
        (RateLimited("slow down"), True),
        (RateLimited("no money", code="insufficient_quota"), False),
        (Refused("Cannot find file file-1, or project p does not have access to it."), True),
        (Refused("bad"), False),
        (NotFound("gone"), False),
        (AuthenticationFailed("who?"), False),
    ],
)
def test_what_may_succeed_later(refusal, passing):
    assert is_passing(refusal) is passing


@pytest.mark.parametrize("name", [each.name for each in fields(Policy)])
@pytest.mark.parametrize("junk", ["2", "never", math.nan, -1, [], Policy, Decimal("-0.5")])
def test_a_value_that_no_policy_can_have_is_refused_before_it_is_needed(name, junk):
    with pytest.raises(UsageError, match=f"a policy's {name} cannot be") as refused:
        Policy(**{name: junk})
    assert refused.value.hint.startswith("give ")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (part, name)
        for part in (Polling, Backoff, BatchRetries, ServiceTimes, SyncFinish)
        for name in part.__struct_fields__
    ],
)
@pytest.mark.parametrize("junk", ["2", math.nan, -1, True, None])
def test_the_parts_of_a_policy_are_checked_as_well(part, name, junk):
    with pytest.raises(UsageError, match=f"a policy's {part.__name__}.{name} cannot be") as refused:
        part(**{name: junk})
    assert refused.value.hint.startswith("give a")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"settle": 5.0}, {"list_lag": 5.0}),
        ({"patience": 0, "first_wait": 1}, {"backoff": Backoff(patience=0, first=1)}),
        (
            {"survey_from": 2, "look_again": 3, "polling": Polling(first=1)},
            {"polling": Polling(first=1, survey_from=2, search=3)},
        ),
        ({"sync_lead": 60}, {"sync": SyncFinish(lead=60)}),
    ],
)
def test_a_former_keyword_is_taken_with_a_warning(old, new):
    with pytest.warns(DeprecationWarning, match=r"Policy\(\w+=...\) is now \w+"):
        assert Policy(**old) == Policy(**new)


def test_a_keyword_that_never_was_is_refused():
    with pytest.raises(TypeError, match="patients"):
        Policy(patients=3)


@pytest.mark.parametrize("name", [each.name for each in fields(Policy)])
def test_what_a_policy_is_by_itself_may_be_given(name):
    assert Policy(**{name: getattr(POLICY, name)}) == POLICY


@pytest.mark.parametrize(
    ("given", "cap"),
    [(5, "5"), (0.1, "0.1"), (0, "0"), (1e-7, "0.0000001"), (Decimal("2.50"), "2.50")],
)
def test_a_cap_is_the_decimal_that_is_written(given, cap):
    kept = Policy(max_cost=given).max_cost
    assert isinstance(kept, Decimal)
    assert kept == Decimal(cap)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"policy": {"retries": 0}}, "the policy must be a Policy, not a dict"),
        ({"limits": {}}, "the limits must be a Limits, not a dict"),
        ({"observe": "print"}, "observe must be a function of a Progress, not a str"),
        ({"metadata": [("a", "b")]}, "the metadata must be a mapping of texts, not a list"),
    ],
)
def test_a_run_is_refused_before_anything_is_asked(build, backend, wrong, words):
    with pytest.raises(UsageError, match=words) as refused:
        run(build.input([build.chat("a")]), backend, results=build.results, **wrong)
    assert refused.value.hint
    assert backend.requests.count == 0
