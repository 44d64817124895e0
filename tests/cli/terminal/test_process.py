"""What shells, supervisors and full disks do to a command."""

import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from tests.repository import DEMO_INPUT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shells and signals differ on Windows")


def shell(desk: Path, command: str) -> subprocess.CompletedProcess[bytes]:
    """Let a shell run `command`, in which `batchsim` and INPUT stand for themselves."""
    command = command.replace("batchsim", f"{shlex.quote(sys.executable)} -m batchsim")
    command = command.replace("INPUT", shlex.quote(str(DEMO_INPUT)))
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=desk, capture_output=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["run --fake INPUT --job job", "validate INPUT"])
def test_closed_streams_stop_nothing(desk, command, closed) -> None:
    ended = shell(desk, f"batchsim {command} {closed}")
    assert b"Traceback" not in ended.stderr
    assert ended.returncode == 0
    if "run" in command:
        assert len((desk / "job" / "results.jsonl").read_bytes().splitlines()) == 3
    if closed == "2>&-" and "run" in command:
        assert len(ended.stdout.splitlines()) == 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("run --fake INPUT --job job >/dev/full", 75),
        ("run --fake INPUT --job job 2>/dev/full", 75),
        ("run --fake INPUT --job job >/dev/full 2>&1", 75),
        ("run --fake missing.jsonl 2>/dev/full", 2),
        ("demo >/dev/full", 75),
        ("--help >/dev/full", 75),
    ],
)
def test_output_without_room_is_no_traceback(desk, command, code) -> None:
    ended = shell(desk, f"batchsim {command}")
    assert ended.returncode == code
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr
    if "2>" not in command:
        assert b"error: No space left on device" in ended.stderr


@pytest.mark.parametrize(
    "command",
    [["scenarios"], ["run", "--help"], ["run", "--fake", str(DEMO_INPUT), "--job", "job"]],
)
def test_a_reader_that_has_gone_is_no_failed_line(desk, command) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as unread:
        ended = subprocess.run(
            [sys.executable, "-m", "batchsim", *command],
            cwd=desk,
            stdout=unread,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ended.returncode == 141
    assert b"error" not in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_job_whose_talk_nobody_reads_any_more_does_not_look_finished(desk, process) -> None:
    line = DEMO_INPUT.read_bytes().splitlines(keepends=True)[0]
    many = (line.replace(b"request-1", b"line-%d" % number) for number in range(20_000))
    (desk / "input.jsonl").write_bytes(b"".join(many))
    running = process("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    running.stderr.readline()
    running.stderr.close()
    running.stderr = None
    running.communicate()
    assert running.returncode == 75
    assert not (desk / "results.jsonl").exists()


def test_closed_standard_input_is_told(batchsim, desk, monkeypatch) -> None:
    from batchsim.cli.terminal import stdin

    monkeypatch.setattr(stdin, "sys", type("closed", (), {"stdin": None}))
    outcome = batchsim("run", "--fake", "-")
    assert outcome.code == 2
    assert "error: standard input is closed" in outcome.stderr
    assert "hint: pipe the lines in" in outcome.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_run_as_an_interrupt(batchsim, desk, monkeypatch, request, number) -> None:
    # Whoever started the tests may ignore it, as nohup does.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, usual)))

    def killed(*_, **__):
        signal.raise_signal(number)
        pytest.fail("went on")

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "upload_file", killed)
        outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 130
    assert "the same command goes on where this one stopped" in outcome.stderr
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0


def test_a_command_that_ends_by_itself_leaves_the_signals_as_they_were(desk, monkeypatch) -> None:
    from batchsim.cli import main

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    monkeypatch.setattr(sys, "argv", ["batchsim", "validate", str(DEMO_INPUT)])
    with pytest.raises(SystemExit):
        main()
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_that_is_ignored_stays_ignored(batchsim, desk, monkeypatch) -> None:
    upload = FakeBackend.upload_file

    def hung_up(*arguments, **options):
        signal.raise_signal(signal.SIGHUP)
        return upload(*arguments, **options)

    monkeypatch.setattr(FakeBackend, "upload_file", hung_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interruption_while_it_is_being_imported_shows_no_traceback(process, desk, monkeypatch):
    (desk / "click.py").write_text("raise KeyboardInterrupt")
    monkeypatch.setenv("PYTHONPATH", f"{desk}:{os.environ.get('PYTHONPATH', '')}")
    with process("--help") as stopped:
        said, told = stopped.communicate(timeout=60)
    assert (stopped.returncode, said, told) == (130, b"", b"interrupted\n")
