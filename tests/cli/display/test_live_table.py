"""The live display, drawn on a terminal that is a string."""

import io
from dataclasses import replace

import pytest
from msgspec import structs
from rich.console import Console

from batchsim.backends.fake import FakeBackend
from batchsim.cli.display.job_text import money_text, split
from batchsim.cli.display.live_table import LiveDisplay, rendered
from batchsim.clock import VirtualClock
from batchsim.domain.limits import Limits
from batchsim.runner.progress import job_summary
from batchsim.runner.progress.job_summary import JobTracker, summarize
from batchsim.runner.run import run


def chat_line(number: int) -> dict:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    return {
        "custom_id": str(number),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }


@pytest.fixture
def progress_of_job(tmp_path):
    """Every Progress of a job of 30 shards."""
    told = []
    fake = FakeBackend()
    lines = [chat_line(n) for n in range(300)]
    limits = Limits(requests_per_batch=10)
    run(lines, fake, results=tmp_path / "results", limits=limits, observe=told.append)
    fake.close()
    return told


def draw(progress, rows: int = 40, width: int = 120, tracker: JobTracker | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    tracker = tracker or JobTracker()
    console.print(rendered(tracker.look(progress), rows))
    return console.file.getvalue()


def test_each_shard_has_its_row(progress_of_job) -> None:
    progress = next(
        each for each in progress_of_job if each.batches.get("in_progress") and each.done > 20
    )
    text = draw(progress)
    rows = [each for each in text.splitlines() if " batch_" in each]
    assert len([each for each in rows if "gpt-4o-mini" in each]) == 30
    assert "in_progress" in text
    assert f"{progress.done} of 300 lines done" in text
    assert progress.message in text


def test_what_does_not_fit_is_summed_up_and_never_wraps(progress_of_job) -> None:
    text = draw(progress_of_job[-1], rows=5)
    assert len([each for each in text.splitlines() if "batch_" in each]) == 5
    assert "and 25 more: 25 completed" in text
    narrow = draw(progress_of_job[-1], rows=5, width=60)
    assert len([each for each in narrow.splitlines() if "completed" in each]) == 6


def test_pace_and_time_left_are_shown(progress_of_job) -> None:
    tracker = JobTracker()
    halves = [each for each in progress_of_job if each.batches.get("in_progress")]
    for progress in halves:
        tracker.look(progress)
    text = draw(halves[-1], tracker=tracker)
    assert "lines/s" in text or "lines/min" in text
    assert " left" in text


def test_money_is_spent_or_unknown(progress_of_job) -> None:
    assert " $0.00" in draw(progress_of_job[-1])
    last = progress_of_job[-1]
    plan = structs.replace(last.states[0].plan, model="gpt-never-heard-of")
    states = (replace(last.states[0], plan=plan), *last.states[1:])
    assert "spent: unknown" in draw(replace(last, states=states))


def test_shards_at_work_come_first_and_in_their_order(progress_of_job) -> None:
    begun = next(each for each in progress_of_job if each.batches.get("in_progress") == 30)
    states = (*progress_of_job[0].states[:5], *progress_of_job[-1].states[5:20], *begun.states[20:])
    shards = summarize(replace(begun, states=states)).shards

    def shown(most):
        return [each.progress.shard for each in split(shards, most)[0]]

    assert shown(10) == [*range(21, 31)]
    assert shown(15) == [*range(1, 6), *range(21, 31)]
    assert len(shown(99)) == len(shown(None)) == 30


def test_a_live_display_looks_only_now_and_then(progress_of_job) -> None:
    clock = VirtualClock()
    tracker = JobTracker()
    looks = []
    look = tracker.look
    tracker.look = lambda progress: (looks.append(progress), look(progress))[1]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    with LiveDisplay(tracker, console, clock) as display:
        for progress in progress_of_job:
            display.show(progress)
    assert len(looks) == 2  # the first, and the last when it is taken down
    assert looks[-1] is progress_of_job[-1]
    assert "300 of 300 lines done" in console.file.getvalue()


def test_a_look_works_out_only_the_shards_that_changed(progress_of_job, monkeypatch) -> None:
    worked_out = []
    real = job_summary.shard_progress
    monkeypatch.setattr(
        job_summary,
        "shard_progress",
        lambda state: (worked_out.append(state.plan.shard), real(state))[1],
    )
    tracker, before = JobTracker(), ()
    for progress in progress_of_job:
        worked_out.clear()
        tracker.look(progress)
        known = {id(state) for state in before}
        changed = [state.plan.shard for state in progress.states if id(state) not in known]
        assert worked_out == changed
        before = progress.states
    assert len(before) == 30
    assert not worked_out, "the last step is no shard's"


def test_a_summary_kept_up_is_what_one_made_anew_would_be(progress_of_job) -> None:
    kept = JobTracker()
    divided = replace(progress_of_job[-1], states=progress_of_job[-1].states[:-1])
    for progress in (*progress_of_job, divided):
        old, new = (tracker.look(progress) for tracker in (kept, JobTracker()))
        for summary in (old, new):
            assert [each.progress for each in summary.shards] == list(progress.by_shard)
        assert (old.spent, old.reserved, old.usage) == (new.spent, new.reserved, new.usage)
        assert money_text(old) == money_text(new)
