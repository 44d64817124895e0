"""Signals during a run: a create under way finishes, a second signal ends at once."""

import io
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.cli.running.signals import Stopping
from tests.repository import DEMO_INPUT

LINE = DEMO_INPUT.read_bytes().splitlines(keepends=True)[0]


def kinds(journal: Path) -> list[str]:
    with sqlite3.connect(journal) as database:
        return [kind for (kind,) in database.execute("SELECT kind FROM entries ORDER BY seq")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_create_under_way_is_finished_and_recorded_first(
    batchsim, desk, monkeypatch, number
) -> None:
    create = FakeBackend.create_batch

    def signalled(self, **options):
        signal.raise_signal(number)
        return create(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "create_batch", signalled)
        outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 130
    assert "stopping once the batch that was just asked for is recorded" in outcome.stderr
    assert "batchsim status results.jsonl.job" in outcome.stderr
    assert kinds(desk / "results.jsonl.job" / "journal.db")[-1] == "Created"
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0


def created(stopping: Stopping) -> None:
    """Ask for a batch through the guard, as the runner does, and record that it came."""
    fake = FakeBackend()
    file = fake.upload_file(io.BytesIO(LINE), filename="input.jsonl")
    batch = stopping.guarded(fake).create_batch(
        input_file_id=file.id, endpoint="/v1/chat/completions"
    )
    assert fake.retrieve_batch(batch.id) == batch
    fake.close()


def test_outside_a_create_the_first_signal_interrupts() -> None:
    stopping = Stopping(leave=lambda _: pytest.fail("left"))
    with stopping.on_signals():
        created(stopping)
        stopping.recorded()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        stopping.recorded()  # it has been said once


def test_between_the_answer_and_its_record_a_signal_waits() -> None:
    stopping = Stopping(leave=lambda _: pytest.fail("left"))
    with stopping.on_signals():
        created(stopping)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stopping.recorded()


def test_a_second_signal_leaves_at_once() -> None:
    codes: list[int] = []
    stopping = Stopping(leave=codes.append)
    with stopping.on_signals(), stopping.creating():
        signal.raise_signal(signal.SIGINT)
        assert codes == []
        signal.raise_signal(signal.SIGTERM)
        assert codes == [130]


def test_a_create_that_takes_too_long_is_left() -> None:
    has_left = threading.Event()
    stopping = Stopping(patience=0.01, leave=lambda _: has_left.set())
    with stopping.on_signals(), stopping.creating():
        signal.raise_signal(signal.SIGINT)
        assert has_left.wait(10)


def test_signals_are_as_before_afterwards_and_ignored_ones_stay_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with Stopping().on_signals():
            assert signal.getsignal(signal.SIGINT) is not handler
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    handler = signal.getsignal(signal.SIGINT)
    seen = []

    def look() -> None:
        with Stopping().on_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [handler]


SLOW_CREATE = """
import sys, time, signal
from batchsim.backends.fake import FakeBackend
def create(self, **options):
    print("creating", flush=True)
    {body}
FakeBackend.create_batch = create
from batchsim.cli import main
sys.argv = ["batchsim", "run", "--fake", {input!r}, "-o", "results.jsonl"]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_two_signals_end_a_real_process_in_a_create_that_hangs(desk) -> None:
    import subprocess
    import sys

    script = SLOW_CREATE.format(body="time.sleep(600)", input=str(DEMO_INPUT))
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=desk, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout.readline() == b"creating\n"
        running.send_signal(signal.SIGINT)
        assert any(b"again stops at once" in line for line in running.stderr)
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=20)
    assert running.returncode == 130
    assert b"stopped at once" in rest
    assert b"Traceback" not in rest
    assert kinds(desk / "results.jsonl.job" / "journal.db")[-1] == "CreateIntended"
