"""Waits and judgements."""

from __future__ import annotations

import pytest

from batchsim.errors import AuthenticationFailed, NotFound, RateLimited, Refused
from batchsim.runner.policy import Policy, is_passing

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
