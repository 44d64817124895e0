"""The description at `/openapi.json` against a live server: schemathesis asks, and judges the
answers.

It walks the boundaries of every parameter, draws requests good and bad, chains calls, tries
methods that are not described and keys that are wrong. Two of its checks do not apply:

positive_data_acceptance   a description cannot say which ids exist, or what a JSONL file holds
negative_data_rejection    the surface takes more than it describes, as the API does: fields of a
                           form that it does not know, empty parameters of a query
"""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.backends.fake.ids import derived_seed
from batchsim.wire import App, Response, Tenants
from tests.campaigns import sized

pytestmark = pytest.mark.slow

KEY = "sk-fake"
EXAMPLES = sized(full=50, sample=2)
SECONDS = 1_800


@pytest.fixture
def serve():
    """`serve(wrap)` -> the address of the surface, or of what `wrap` makes of it."""
    pytest.importorskip("httptools", reason="the extra batchsim[serve] is not installed")
    from batchsim.server.serve import running

    with ExitStack() as stack:

        def make(digest):
            backend = FakeBackend(seed=derived_seed(1, digest), pacing="instant")
            stack.callback(backend.close)
            return backend

        def start(wrap=lambda app: app):
            return stack.enter_context(running(wrap(App(Tenants(make), api_keys=[KEY]))))

        yield start


@pytest.fixture
def judge(tmp_path):
    """`judge(address, ...)` -> the exit code of schemathesis, and what it says."""
    pytest.importorskip("schemathesis")

    def run(address, *arguments):
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
                *("--header", f"Authorization: Bearer {KEY}"),
                *("--max-examples", str(EXAMPLES), "--generation-deterministic"),
                *("--exclude-checks", "positive_data_acceptance,negative_data_rejection"),
                "--continue-on-failure",
                *arguments,
            ],
            cwd=tmp_path,  # it leaves a folder where it runs
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
        return ended.returncode, ended.stdout + ended.stderr

    return run


def test_every_answer_is_as_described_and_none_is_a_server_error(serve, judge):
    code, said = judge(serve())
    assert code == 0, said
    assert "Selected: 20/20" in said


class Lies:
    """Calls every list of batches a table."""

    def __init__(self, app):
        self.app = app

    def handle(self, request):
        answer = self.app.handle(request)
        if request.path != "/v1/batches" or answer.status != 200:
            return answer
        body = b"".join(answer.body).replace(b'"list"', b'"table"')
        headers = [each for each in answer.headers if each[0] != "content-length"]
        return Response(answer.status, tuple(headers), [body])


def test_an_answer_that_is_not_as_described_is_found(serve, judge):
    code, said = judge(serve(Lies), "--include-path", "/v1/batches", "--phases", "fuzzing")
    assert code == 1
    assert "Response violates schema" in said
