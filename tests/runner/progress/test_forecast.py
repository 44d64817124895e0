from dataclasses import replace

import pytest

from batchsim.domain.batches import Batch, Usage
from batchsim.domain.lifecycle import Status
from batchsim.runner.job import Stage
from batchsim.runner.progress import ShardProgress
from batchsim.runner.progress.forecast import WINDOW, Forecast, History, Pace, expect, together
from tests.sample_batches import sample_batch

RUNNING = ShardProgress(
    shard=1,
    batch_id="batch_1",
    endpoint="/v1/chat/completions",
    model="gpt-4o-mini",
    stage=Stage.LIVE,
    status="in_progress",
    lines=100,
    done=0,
    failed=0,
    usage=Usage(),
    created_at=1_000,
    expires_at=1_000 + 86_400,
)
WAITING = replace(
    RUNNING, shard=2, batch_id=None, stage=Stage.WAITING, created_at=None, expires_at=None
)
ENDED = replace(RUNNING, stage=Stage.ENDED, status="completed", done=100)


def forecast_of(*shards: ShardProgress, pace: Pace | None = None, history: History | None = None):
    """A forecast that saw these shards, each when it had last moved."""
    forecast = Forecast(pace or Pace(), history or History())
    for shard in shards:
        forecast.put(shard, 1_000)
    return forecast


def completed(seconds: int, model: str = "gpt-4o-mini-2024-07-18") -> Batch:
    stamps = {"created_at": 50, "completed_at": 50 + seconds}
    return sample_batch(status=Status.COMPLETED, model=model, **stamps)


def pace_of(*seen: tuple[float, int]) -> Pace:
    pace = Pace()
    for now, done in seen:
        pace.observe_shard(now, replace(RUNNING, done=done))
    return pace


def test_history_is_the_median_of_the_models_own_batches() -> None:
    history = History([completed(100), completed(900), completed(200), completed(5, "gpt-4o")])
    assert history.seconds("gpt-4o-mini") == 200
    assert history.seconds("gpt-4o") == 5
    assert history.seconds("o3") == 150  # of all, for want of its own
    assert History().seconds("o3") is None


def test_only_completed_batches_tell_how_long_batches_take() -> None:
    failed = replace(completed(3), status=Status.FAILED, completed_at=None)
    assert History([failed]).seconds("gpt-4o-mini") is None


@pytest.mark.parametrize(
    ("seen", "rate"),
    [
        ([], 0),
        ([(0, 5)], 0),
        ([(0, 0), (10, 20)], 2),
        ([(0, 0), (10, 20), (20, 20)], 1),
        ([(0, 0), (100, 0), (200, 0), (210, 20)], 2),  # it stood until 200
        ([(0, 50), (10, 3), (20, 13)], 1),  # counts that shrink: another batch, or a miscount
        ([(0, 0), (0, 10)], 0),
    ],
    ids=str,
)
def test_the_pace_is_that_between_looks(seen, rate) -> None:
    assert pace_of(*seen).of(RUNNING) == pytest.approx(rate)


def test_what_is_long_past_does_not_count() -> None:
    pace = pace_of((0, 0), (1, 90), (WINDOW * 3, 91), (WINDOW * 3 + 10, 95))
    assert pace.of(RUNNING) < 0.5


def test_the_pace_of_the_job_goes_on_over_its_batches() -> None:
    pace = Pace()
    for now, shard in ((0, RUNNING), (10, replace(RUNNING, done=30))):
        pace.observe(now, shard.done)
        pace.observe_shard(now, shard)
    assert pace.of_job() == 3
    pace.observe(20, ENDED.done)
    pace.observe_shard(20, ENDED)
    assert pace.of_job() == 5
    assert pace.of(ENDED) == 0


def test_time_left_comes_from_the_pace_then_from_history_then_not_at_all() -> None:
    history = History([completed(600)])
    halfway = replace(RUNNING, done=50)
    moving = Forecast(pace_of((0, 0), (1_000, 50)), history)
    assert moving.of(halfway).seconds_left(1_000) == 1_000
    assert moving.of(halfway).seconds_left(1_100) == 900, "time passes though nobody looks"
    told, untold = Forecast(Pace(), history), Forecast(Pace(), History())
    assert told.of(RUNNING).seconds_left(1_100) == 500
    assert told.of(RUNNING).seconds_left(9_999) == 0
    assert untold.of(RUNNING).seconds_left(1_100) is None
    assert told.of(WAITING).seconds_left(1_100) == 600
    assert told.of(ENDED).seconds_left(1_100) == 0


def test_a_first_movement_tells_no_pace_until_there_is_something_to_tell() -> None:
    large = replace(RUNNING, lines=10_000)

    def left(*seen: tuple[float, int]) -> float | None:
        shard = replace(large, done=seen[-1][1])
        return Forecast(pace_of(*seen), History()).of(shard).seconds_left(seen[-1][0])

    assert left((0, 0), (60, 99)) is None
    assert left((0, 0), (60, 100)) == 60 * 99
    assert left((0, 0), (60, 17), (120, 67)) == pytest.approx((10_000 - 67) / (67 / 120))


def test_nothing_takes_longer_than_its_window() -> None:
    crawling = Forecast(pace_of((0, 0), (1_000, 1)), History())
    late = RUNNING.expires_at - 60
    assert crawling.of(replace(RUNNING, done=1)).seconds_left(late) == 60


def test_batches_run_beside_each_other_and_waiting_ones_come_in_waves() -> None:
    history = History([completed(600)])
    beside = [replace(RUNNING, shard=n, created_at=1_000 - n) for n in range(2)]
    assert forecast_of(*beside, history=history).seconds_left(1_100) == 500
    waiting = [replace(WAITING, shard=n + 2) for n in range(3)]
    assert forecast_of(*beside, *waiting, history=history).seconds_left(1_100) == 500 + 2 * 600
    assert forecast_of(*waiting, history=history).seconds_left(1_100) == 600
    assert forecast_of(ENDED, history=history).seconds_left(1_100) == 0
    assert forecast_of(ENDED, replace(RUNNING, shard=2)).seconds_left(1_100) is None


def test_a_forecast_that_was_kept_up_tells_what_one_made_anew_would() -> None:
    history = History()
    kept = forecast_of(RUNNING, WAITING, replace(RUNNING, shard=3), history=history)
    assert kept.seconds_left(1_100) is None
    history.add(completed(600))
    assert kept.seconds_left(1_100) == 500 + 600
    kept.put(replace(RUNNING, done=10), 1_100)
    kept.drop(3)
    kept.put(replace(WAITING, batch_id="batch_2", stage=Stage.LIVE, created_at=1_050), 1_100)
    assert kept.seconds_left(1_100) == 90 / 0.1
    kept.put(ENDED, 1_200)
    assert kept.seconds_left(1_200) == 450


def test_a_shard_that_was_asked_for_without_a_batch_waits_for_none() -> None:
    collected = replace(WAITING, stage=Stage.COLLECTED, done=100, is_synchronous=True)
    assert forecast_of(collected, history=History([completed(600)])).seconds_left(1_100) == 0


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
