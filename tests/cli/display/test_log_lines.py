"""Which lines a log is worth: decided by a pure function, told on stderr where there is no
terminal.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing, RequestFault
from batchsim.cli.display.log_lines import MANY, Written, line
from batchsim.cli.display.run_display import Display
from batchsim.domain.limits import HOUR, Limits
from batchsim.runner.job import Counts
from batchsim.runner.progress import Message, Progress
from batchsim.runner.run import Policy, run

RUNNING = {"in_progress": 1}
STARTED = Message("100 lines are valid")
CREATED = Message("created batch_6955b9", 1, is_routine=True)
FULL = Message("429: try again in 0.35 s; trying again", 1)


def progress_at(now=0.0, latest=STARTED, done=0, shards=1, batches=(), created=0, collected=0):
    counts = Counts(
        sent=100, done=done, created=created, collected=collected, batches=Counter(dict(batches))
    )
    return Progress(
        lines=100,
        started=0.0,
        now=now,
        latest=latest,
        skipped=0,
        counts=counts,
        states=(None,) * shards,
    )


def log_lines(*seen):
    """What is told of these, in their order; None for nothing."""
    written, texts = Written(), []
    for each in seen:
        text, written = line(written, each)
        texts.append(text)
    return texts


def test_what_happened_is_told_once():
    first = progress_at()
    assert log_lines(first, progress_at(1), progress_at(2, CREATED), progress_at(60, CREATED)) == [
        STARTED.text,
        None,
        CREATED.text,
        None,
    ]


def test_counts_are_told_at_every_twentieth_and_not_in_between():
    seen = [progress_at(60.0 * n, done=n, batches=RUNNING) for n in range(101)]
    texts = log_lines(progress_at(batches=RUNNING), *seen)
    assert [n for n, text in enumerate(texts[1:]) if text] == [*range(5, 101, 5)]
    assert set(texts) == {STARTED.text, "1 in_progress", None}


def test_counts_are_told_once_a_minute_at_most():
    seen = [progress_at(n, done=n, batches=RUNNING) for n in range(1, 101)]
    texts = log_lines(progress_at(batches=RUNNING), *seen)
    assert [n for n, text in enumerate(texts) if text] == [0, 60]


def test_a_status_that_changed_is_told():
    finalizing = progress_at(5, batches={"finalizing": 1})
    assert log_lines(
        progress_at(batches=RUNNING), progress_at(4, batches=RUNNING), finalizing, finalizing
    ) == [
        STARTED.text,
        None,
        "1 finalizing",
        None,
    ]


def test_a_night_in_which_nothing_changes_is_a_line_an_hour():
    seen = [progress_at(60.0 * minute, batches=RUNNING) for minute in range(10 * 60 + 1)]
    texts = log_lines(*seen)
    assert [minute for minute, text in enumerate(texts) if text] == [*range(0, 601, 60)]


def test_what_is_tried_again_and_again_is_one_line_an_hour():
    def tried(now, seconds):
        again = Message(f"429: try again in {seconds} s; trying again", 1)
        return [
            progress_at(now, Message("creating a batch", 1, is_routine=True)),
            progress_at(now, again),
        ]

    seen = [each for now in range(0, 7_200, 300) for each in tried(now, now / 7)]
    texts = log_lines(*seen)
    assert [seen[n].now for n, text in enumerate(texts) if text] == [0, 0, 3_600, 3_600]


def test_another_shard_with_the_same_trouble_is_told_only_while_they_are_few():
    other = Message(FULL.text, 2)
    few = log_lines(progress_at(0, FULL, shards=2), progress_at(1, other, shards=2))
    assert few == [f"shard 1 of 2: {FULL.text}", f"shard 2 of 2: {FULL.text}"]
    many = log_lines(progress_at(0, FULL, shards=MANY + 1), progress_at(1, other, shards=MANY + 1))
    assert many == [f"shard 1 of {MANY + 1}: {FULL.text}", None]


def test_of_many_shards_the_steps_of_each_are_told_as_counts():
    seen = [
        progress_at(
            2.0 * n,
            Message(f"created batch_{n}", n, is_routine=True),
            shards=1_000,
            created=n,
            batches={"validating": n},
        )
        for n in range(1, 1_001)
    ]
    texts = [text for text in log_lines(progress_at(shards=1_000), *seen) if text]
    assert texts == [STARTED.text, *(f"{n:,} validating" for n in range(50, 1_001, 50))]
    collected = [
        progress_at(
            2.0 * n, STARTED, shards=1_000, done=100, collected=n, batches={"completed": 1_000}
        )
        for n in range(1_001)
    ]
    texts = [text for text in log_lines(*collected) if text]
    assert len(texts) == 21
    assert texts[-1] == "1,000 completed, 1,000 of 1,000 collected"


LINES = [
    {
        "custom_id": str(n),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
    }
    for n in range(30)
]


@pytest.fixture
def log_of_a_job(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    return partial(run_and_read_log, tmp_path, capsys)


def run_and_read_log(tmp_path, capsys, per_batch, **service):
    """The log of a job whose batches run for ten hours."""
    fake = FakeBackend(pacing=Pacing(running=10 * HOUR, running_per_line=0), **service)
    limits = Limits(requests_per_batch=per_batch)
    policy = Policy(max_live=30)
    run(
        LINES,
        fake,
        results=tmp_path / "results",
        limits=limits,
        policy=policy,
        observe=Display().show,
    )
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(("per_batch", "most"), [(30, 45), (1, 80)])
def test_a_night_is_a_log_that_is_read(log_of_a_job, per_batch, most):
    lines = log_of_a_job(per_batch)
    assert 15 < len(lines) < most
    assert lines[0].endswith("30 lines are valid; 0 of 30 lines done")
    assert lines[-1].endswith("the results are written; 30 of 30 lines done")
    texts = [each.partition(" s  ")[2].partition(", about")[0] for each in lines]
    assert all(
        earlier != later or after - before >= HOUR
        for (earlier, later), (before, after) in zip(
            pairwise(texts), pairwise(int(each.split()[0]) for each in lines), strict=True
        )
    )


@pytest.mark.parametrize("per_batch", [30, 1])
def test_a_service_that_is_away_is_told_of_once(log_of_a_job, per_batch):
    """For 50 minutes every request is refused, and each of the shards meets it."""
    away = RequestFault("error", call="any", status=503, since=120.0, until=3_100.0)
    lines = log_of_a_job(per_batch, faults=Faults(requests=(away,)))
    assert 1 <= sum("trying again" in each for each in lines) <= 2
