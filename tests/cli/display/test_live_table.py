"""The live display, drawn on a terminal that is a string."""

import io
from dataclasses import replace

import pytest
from msgspec import structs
from rich.console import Console

from batchsim.backends.fake import FakeBackend
from batchsim.cli.display import job_summary as outlooks
from batchsim.cli.display.job_summary import Outlook, most_telling
from batchsim.cli.display.live_table import LiveDisplay, rendered
from batchsim.clock import VirtualClock
from batchsim.domain.limits import Limits
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


def draw(progress, rows: int = 40, width: int = 120, outlook: Outlook | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    outlook = outlook or Outlook()
    outlook.look(progress)
    console.print(rendered(progress, outlook, rows))
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
    outlook = Outlook()
    halves = [each for each in progress_of_job if each.batches.get("in_progress")]
    for progress in halves:
        outlook.look(progress)
    text = draw(halves[-1], outlook=outlook)
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
    shards = replace(begun, states=states).by_shard
    assert [each.shard for each in most_telling(shards, 10)] == [*range(21, 31)]
    assert [each.shard for each in most_telling(shards, 15)] == [*range(1, 6), *range(21, 31)]
    assert len(most_telling(shards, 99)) == 30


def test_a_live_display_looks_only_now_and_then(progress_of_job) -> None:
    clock = VirtualClock()
    outlook = Outlook()
    looks = []
    look = outlook.look
    outlook.look = lambda progress: (looks.append(progress), look(progress))
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    with LiveDisplay(outlook, console, clock) as display:
        for progress in progress_of_job:
            display.show(progress)
    assert len(looks) == 2  # the first, and the last when it is taken down
    assert looks[-1] is progress_of_job[-1]
    assert "300 of 300 lines done" in console.file.getvalue()


def test_a_look_works_out_only_the_shards_that_changed(progress_of_job, monkeypatch) -> None:
    worked_out = []
    real = outlooks._seen
    monkeypatch.setattr(
        outlooks, "_seen", lambda state: (worked_out.append(state.plan.shard), real(state))[1]
    )
    outlook, before = Outlook(), ()
    for progress in progress_of_job:
        worked_out.clear()
        draw(progress, outlook=outlook)
        changed = [now.plan.shard for now in progress.states if now not in before]
        assert worked_out == changed
        before = progress.states
    assert len(before) == 30
    assert not worked_out, "the last step is no shard's"


def test_an_outlook_kept_up_tells_what_one_made_anew_would(progress_of_job) -> None:
    kept = Outlook()
    divided = replace(progress_of_job[-1], states=progress_of_job[-1].states[:-1])
    for progress in (*progress_of_job, divided):
        anew = Outlook()
        for outlook in (kept, anew):
            outlook.look(progress)
        assert list(kept.shards) == list(anew.shards) == list(progress.by_shard)
        assert (kept.spent, kept.reserved, kept.money()) == (
            anew.spent,
            anew.reserved,
            anew.money(),
        )
