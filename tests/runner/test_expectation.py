import pytest

from batchsim.runner.progress.forecast import expect, together


def test_one_batch_takes_minutes_or_an_hour_and_a_day_at_most():
    assert expect("gpt-5-nano", 3, 100, 1) == pytest.approx((420.2, 3600.2, 86_400, 1), rel=1e-3)


def test_writing_results_counts_for_large_batches():
    assert expect("gpt-5-nano", 50_000, 100, 1).usual == 420 + 3_750
    assert expect("gpt-5-nano", 100_000, 100, 2).usual == 420 + 3_750


def test_what_the_queue_does_not_hold_takes_another_turn():
    assert [expect("gpt-5-nano", 10, tokens, 1).turns for tokens in (0, 2_000_000, 2_000_001)] == [
        1,
        1,
        2,
    ]
    assert expect("gpt-5-nano-2025-08-07", 10, 5_000_000, 1).longest == 3 * 86_400


def test_a_model_without_a_known_limit_is_taken_to_run_at_once():
    assert expect("gpt-99", 10, 10**9, 9).turns is None
    assert expect(None, 10, 10**9, 9).longest == 86_400


def test_models_run_side_by_side():
    few, many = expect("gpt-5-nano", 1, 1, 1), expect("gpt-5-nano", 1, 9_000_000, 1)
    assert together([few, many]) == many
    assert together([few, expect("gpt-99", 1, 1, 1)]).turns is None
