from dataclasses import replace

import pytest

from batchsim.domain.batches import Batch, Usage
from batchsim.domain.lifecycle import Status
from batchsim.runner.pace import WINDOW, History, Pace, seconds_left, shard_seconds_left
from batchsim.runner.report import ShardProgress
from batchsim.runner.shard_state import Stage

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


class Seen:
    """What Pace and seconds_left read of a Progress."""

    def __init__(self, now: float, *shards: ShardProgress) -> None:
        self.now = now
        self.by_shard = shards
        self.done = sum(shard.done for shard in shards)


def completed(seconds: int, model: str = "gpt-4o-mini-2024-07-18") -> Batch:
    return Batch(
        id="batch",
        endpoint="/v1/chat/completions",
        input_file_id="file",
        created_at=50,
        expires_at=None,
        completed_at=50 + seconds,
        status=Status.COMPLETED,
        model=model,
    )


def pace_of(*seen: tuple[float, int]) -> Pace:
    pace = Pace()
    for now, done in seen:
        pace.observe(Seen(now, replace(RUNNING, done=done)))
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
    pace.observe(Seen(0, RUNNING))
    pace.observe(Seen(10, replace(RUNNING, done=30)))
    assert pace.of_job() == 3
    pace.observe(Seen(20, ENDED))
    assert pace.of_job() == 5
    assert pace.of(ENDED) == 0


def test_time_left_comes_from_the_pace_then_from_history_then_not_at_all() -> None:
    history = History([completed(600)])
    halfway = replace(RUNNING, done=50)
    assert shard_seconds_left(halfway, 1_100, pace_of((0, 0), (100, 50)), history) == 100
    assert shard_seconds_left(RUNNING, 1_100, Pace(), history) == 500
    assert shard_seconds_left(RUNNING, 9_999, Pace(), history) == 0
    assert shard_seconds_left(RUNNING, 1_100, Pace(), History()) is None
    assert shard_seconds_left(WAITING, 1_100, Pace(), history) == 600
    assert shard_seconds_left(ENDED, 1_100, Pace(), history) == 0


def test_nothing_takes_longer_than_its_window() -> None:
    crawling = pace_of((0, 0), (1_000, 1))
    late = RUNNING.expires_at - 60
    assert shard_seconds_left(RUNNING, late, crawling, History()) == 60


def test_batches_run_beside_each_other_and_waiting_ones_come_in_waves() -> None:
    history = History([completed(600)])
    beside = [replace(RUNNING, shard=n, created_at=1_000 - n) for n in range(2)]
    assert seconds_left(Seen(1_100, *beside), Pace(), history) == 500
    waiting = [replace(WAITING, shard=n) for n in range(3)]
    assert seconds_left(Seen(1_100, *beside, *waiting), Pace(), history) == 500 + 2 * 600
    assert seconds_left(Seen(1_100, *waiting), Pace(), history) == 600
    assert seconds_left(Seen(1_100, ENDED), Pace(), history) == 0
    assert seconds_left(Seen(1_100, ENDED, RUNNING), Pace(), History()) is None
