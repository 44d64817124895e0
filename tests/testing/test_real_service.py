"""Tests that hold for the real API too: on the simulator by default, there when asked."""

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.server.serve import running
from batchsim.wire import App

pytest_plugins = "pytester"
pytestmark = [pytest.mark.sdk, pytest.mark.usefixtures("libraries_kept")]

TESTS = """
import io
import pytest

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m"}}'

@pytest.mark.batchsim_real
def test_marked(batchsim_backend):
    batchsim_backend.upload_file(io.BytesIO(LINE), filename="marked.jsonl")
    assert len(batchsim_backend.list_files().data) == 1

@pytest.mark.batchsim(scenario="unseen_file")
def test_not_marked(batchsim_backend):
    batchsim_backend.upload_file(io.BytesIO(LINE), filename="not-marked.jsonl")
    assert batchsim_backend.list_files().data == ()

@pytest.mark.batchsim_real
def test_of_the_account(batchsim):
    batchsim.backend.upload_file(io.BytesIO(LINE), filename="of-the-account.jsonl")
"""


@pytest.fixture
def run(pytester):
    pytester.makepyfile(TESTS)

    def run(*arguments):
        return pytester.runpytest_inprocess(*arguments, "-p", "no:randomly", "-p", "no:asyncio")

    return run


def test_by_default_they_run_on_the_simulator(run):
    result = run()
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*may cost money*")


def test_when_asked_the_marked_ones_run_on_the_service_and_no_others(run, monkeypatch):
    real = FakeBackend()
    with running(App(real, api_keys=["sk-real"])) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
        result = run("--batchsim-real")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"batchsim: tests marked batchsim_real run on {address}/v1, *"])
    assert [each.filename for each in real.undisturbed.all_files()] == ["marked.jsonl"]


def test_without_a_key_nothing_is_run(run):
    result = run("--batchsim-real")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--batchsim-real needs a key: export OPENAI_API_KEY=*"])


def test_a_failure_on_the_simulator_tells_its_story(run, pytester):
    pytester.makepyfile(
        "def test_it(batchsim_backend):\n    batchsim_backend.list_files()\n    assert 0\n"
    )
    result = run("test_a_failure_on_the_simulator_tells_its_story.py")
    result.stdout.fnmatch_lines(["seed 0, scenario completed", "*0 s  list_files*0 listed"])
