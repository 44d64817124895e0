"""Signals while uploads and downloads go on side by side: real processes, a real port."""

import os
import signal
import sqlite3
import threading
from contextlib import contextmanager

import orjson
import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import ScaledClock
from batchsim.server.serve import running
from batchsim.wire import App

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows"),
]

MODELS = ["gpt-4o", "gpt-4o-mini", "o3", "gpt-4.1"]
"""Each has a batch of its own."""


POLLING_OFTEN = """
from batchsim.__main__ import main
from batchsim.runner.policy import Policy

Policy.poll_interval = lambda self, age: 0.1
main()
"""
"""The command as it is, but for the ten seconds that it gives a batch before it looks."""


class Hanging(App):
    """Lets so many requests of a kind wait until it is told to let go."""

    def __init__(self, backend, is_kind, times):
        super().__init__(backend)
        self.is_kind, self.times = is_kind, times
        self.waiting = threading.Semaphore(0)
        self.let_go = threading.Event()
        self._lock = threading.Lock()

    def handle(self, request):
        with self._lock:
            waits = self.times > 0 and self.is_kind(request)
            self.times -= waits
        if waits:
            self.waiting.release()
            self.let_go.wait(60)
        return super().handle(request)


UPLOADS = lambda request: (request.method, request.path) == ("POST", "/v1/files")  # noqa: E731
DOWNLOADS = lambda request: request.path.endswith("/content")  # noqa: E731
CREATES = lambda request: (request.method, request.path) == ("POST", "/v1/batches")  # noqa: E731


@pytest.fixture
def job(desk, process, monkeypatch):
    """Start a run against a service; `job.start()` again goes on."""
    lines = [
        {
            "custom_id": f"id-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": "Hi"}]},
        }
        for n, model in enumerate(MODELS)
    ]
    (desk / "input.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    class Job:
        fake = FakeBackend(seed=1, clock=ScaledClock(100), pacing="quick")

        @contextmanager
        def at(self, is_kind, times):
            app = Hanging(self.fake, is_kind, times)
            with running(app) as address:
                monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
                monkeypatch.setenv("OPENAI_API_KEY", "sk-any-0123456789")
                try:
                    yield app
                finally:
                    app.let_go.set()

        def start(self):
            command = ("run", "--real", "--alone", "input.jsonl", "-o", "results.jsonl")
            return process(*command, program=("-c", POLLING_OFTEN))

        def kinds(self):
            with sqlite3.connect(desk / "results.jsonl.job" / "journal.db") as database:
                return [kind for (kind,) in database.execute("SELECT kind FROM entries")]

        def finish(self):
            running = self.start()
            out, err = running.communicate(timeout=120)
            assert running.returncode == 0, out + err
            results = (desk / "results.jsonl").read_bytes().splitlines()
            assert [orjson.loads(each)["custom_id"] for each in results] == [
                f"id-{n}" for n in range(len(MODELS))
            ]
            assert len(self.fake.list_batches(limit=100).data) == len(MODELS)

    return Job()


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param(UPLOADS, signal.SIGINT, id="uploads"),
        pytest.param(DOWNLOADS, signal.SIGTERM, id="downloads"),
    ],
)
def test_transfers_side_by_side_hold_no_stop_up_and_go_on_next_time(job, kind, number):
    with job.at(kind, times=3) as app:
        run = job.start()
        for _ in range(3):
            assert app.waiting.acquire(timeout=60), "three at once"
        run.send_signal(number)
        _, err = run.communicate(timeout=20)  # the service holds them for longer
        assert not app.let_go.is_set()
        assert run.returncode == 130, err
        assert b"Traceback" not in err
        assert b"the same command goes on where this one stopped" in err
        app.let_go.set()
        job.finish()


def test_a_create_under_way_beside_transfers_is_finished_and_recorded_first(job):
    with job.at(CREATES, times=1) as app:
        run = job.start()
        assert app.waiting.acquire(timeout=60)
        run.send_signal(signal.SIGTERM)
        text = b""
        while b"stopping once the batch" not in text:
            read = run.stderr.readline()
            assert read, text
            text += read
        assert run.poll() is None
        app.let_go.set()
        _, err = run.communicate(timeout=20)
        assert run.returncode == 130, err
        kinds = job.kinds()
        assert kinds.count("CreateIntended") == kinds.count("Created") == 1
        job.finish()
