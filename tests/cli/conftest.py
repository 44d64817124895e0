"""The command line as a person uses it: separate output streams, an exit code, an own folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import VirtualClock


@dataclass
class Outcome:
    code: int
    stdout: str
    stderr: str


Command = Callable[..., Outcome]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def batchsim(desk: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary, request) -> Command:
    """Run one command in this process, with everything that `main` does around it."""
    from batchsim.cli import main

    def command(*arguments: str, stdin: bytes = b"") -> Outcome:
        path = desk / ".stdin"
        path.write_bytes(stdin)
        signals = [signal.SIGINT, signal.SIGTERM]
        signals += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
        handlers = {number: signal.getsignal(number) for number in signals}
        with path.open("r") as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            monkeypatch.setattr(sys, "argv", ["batchsim", *arguments])
            try:
                with pytest.raises(SystemExit) as ended:
                    main()
            finally:  # a process that was interrupted ends deaf to further signals
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        out, err = capfdbinary.readouterr()
        return Outcome(ended.value.code, out.decode(), err.decode())

    return command


@pytest.fixture
def process(desk: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start one command in a process of its own; `program` may be a script instead of batchsim."""

    def start(*arguments: str, program=("-m", "batchsim"), **options) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=desk,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    return start


@pytest.fixture
def real(service: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """The simulated service, which `--real` and commands about jobs reach as a real one."""
    from batchsim.cli.options import listing as looked_at

    for name in ("running.run_job", "commands.doctor", "jobs.job", "commands.recover"):
        module = import_module(f"batchsim.cli.{name}")
        monkeypatch.setattr(module, "real_backend", looked_at.real_backend)
    return service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    """The simulated service that `batches` and `files` reach through the real client."""
    from batchsim.backends.openai import OpenAIBackend
    from batchsim.testing.transport import openai_client

    fake = FakeBackend(seed=1, clock=VirtualClock())
    with openai_client(fake) as client:
        backend = OpenAIBackend(client, clock=fake.clock)
        monkeypatch.setattr(
            "batchsim.cli.options.listing.real_backend", lambda base_url=None: backend
        )
        yield fake
    fake.close()
