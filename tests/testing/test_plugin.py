"""The pytest plugin, in the test suites of other projects."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytest_plugins = "pytester"
pytestmark = [pytest.mark.sdk, pytest.mark.usefixtures("libraries_kept")]

PIPELINE = '''
"""Somebody's program: it knows nothing of batchsim."""

import asyncio
import json
import time

from openai import AsyncOpenAI, OpenAI

ENDED = ("completed", "failed", "expired", "cancelled")


def content(*custom_ids):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "2 + 2?"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = [json.dumps({"custom_id": each, **line}) for each in custom_ids]
    return "\\n".join(lines).encode()


def submit(client, *custom_ids):
    file = client.files.create(file=("input.jsonl", content(*custom_ids)), purpose="batch")
    return create(client, file)


def create(client, file):
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def wait(client, batch):
    while batch.status not in ENDED:
        time.sleep(60)
        batch = client.batches.retrieve(batch.id)
    return batch


def answers(*custom_ids):
    client = OpenAI()
    batch = wait(client, submit(client, *custom_ids))
    results = map(json.loads, client.files.content(batch.output_file_id).text.splitlines())
    choices = {each["custom_id"]: each["response"]["body"]["choices"] for each in results}
    return [choices[each][0]["message"]["content"] for each in custom_ids]


async def answers_async(custom_id):
    client = AsyncOpenAI()
    file = await client.files.create(file=("input.jsonl", content(custom_id)), purpose="batch")
    batch = await create(client, file)
    while batch.status not in ENDED:
        await asyncio.sleep(60)
        batch = await client.batches.retrieve(batch.id)
    return (await client.files.content(batch.output_file_id)).text
'''

IMPORTS = "import pytest\nfrom pipeline import *\n"


@pytest.fixture
def run(pytester):
    """Run a test module beside the pipeline, as a project of its own."""
    pytester.makepyfile(pipeline=PIPELINE)

    def run(tests, *arguments, others=("no:randomly", "no:asyncio", "no:anyio")):
        pytester.makepyfile(test_pipeline=IMPORTS + tests)
        without = [part for each in (*others, "no:schemathesis") for part in ("-p", each)]
        return pytester.runpytest_inprocess("--strict-markers", "-Werror", *without, *arguments)

    return run


def failure_of(result):
    return "\n".join(line for line in result.outlines if line.startswith(("E ", ">")))


def test_a_pipeline_runs_a_day_in_no_time(run):
    result = run(
        """
        def test_answers(batchsim):
            assert len(answers("a", "b")) == 2
            assert batchsim.clock.now() > 60
            assert [batch.status for batch in batchsim.batches] == ["completed"]
            assert [file.purpose for file in batchsim.files] == ["batch", "batch_output"]
            assert [(each.custom_id, each.model) for each in batchsim.requests] == [
                ("a", "gpt-4o-mini"), ("b", "gpt-4o-mini"),
            ]
            assert batchsim.backend.retrieve_batch(batchsim.batches[0].id).usage.total_tokens > 0
            batchsim.assert_submitted(custom_ids=["b", "a"])
            batchsim.assert_no_double_submission()

        def test_answers_async(batchsim):
            assert '"custom_id"' in asyncio.run(asyncio.wait_for(answers_async("a"), 3_600))

        def test_in_threads(batchsim):
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(4) as pool:
                assert len(list(pool.map(answers, "abcd"))) == 4
            batchsim.assert_submitted(custom_ids="abcd")

        @pytest.mark.batchsim(pacing="instant", limits=__import__("batchsim").Limits(batches_per_page=2))
        def test_more_batches_than_a_page_holds(batchsim):
            ids = [submit(OpenAI(), each).id for each in "abcde"]
            assert [batch.id for batch in batchsim.batches] == ids
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(passed=4)


def test_nothing_leaves_the_machine_but_what_is_allowed(run):
    result = run(
        """
import socket

def test_forbidden(batchsim):
    with pytest.raises(Exception, match="nothing may reach example.com:443"):
        socket.create_connection(("example.com", 443))

@pytest.mark.batchsim(allow=["example.com"])
def test_allowed(batchsim, monkeypatch):
    monkeypatch.setattr("socket.create_connection", socket.create_connection.__wrapped__)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [])
    with pytest.raises(OSError, match="empty list"):
        socket.create_connection(("example.com", 443))
"""
    )
    result.assert_outcomes(passed=2)


def test_state_never_leaks(run):
    result = run(
        """
import os

BEFORE = time.sleep, asyncio.sleep, asyncio.BaseEventLoop.time, os.environ.get("OPENAI_API_KEY")
EARLY = OpenAI(api_key="x")

@pytest.fixture(autouse=True)
def clean():
    yield
    now = time.sleep, asyncio.sleep, asyncio.BaseEventLoop.time, os.environ.get("OPENAI_API_KEY")
    assert now == BEFORE

@pytest.mark.parametrize("number", range(4))
def test_each_begins_afresh(batchsim, number):
    assert batchsim.batches == batchsim.files == batchsim.requests == []
    assert EARLY.batches.list().data == []
    assert batchsim.clock.now() == 1_767_225_600
    submit(EARLY, "same")
    time.sleep(10)
    batchsim.assert_no_double_submission()

def test_without_the_fixture_sleep_is_real():
    assert (time.sleep, asyncio.sleep) == BEFORE[:2]
"""
    )
    result.assert_outcomes(passed=5)


def test_the_marker_says_how_the_service_behaves(run):
    result = run(
        """
from batchsim import Limits
from batchsim.backends.fake import Faults

@pytest.mark.batchsim(responder={"a": "4"}, order="input")
def test_responder(batchsim):
    assert answers("a") == ["4"]

@pytest.mark.batchsim(scenario="expired_empty")
def test_scenario(batchsim):
    assert wait(OpenAI(), submit(OpenAI(), "a")).status == "expired"
    assert batchsim.scenario == "expired_empty"

@pytest.mark.batchsim(pacing="instant", scenario="completed", faults=Faults(quota_after=1))
def test_pacing_and_faults(batchsim):
    batch = wait(OpenAI(), submit(OpenAI(), "a", "b"))
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    assert batch.completed_at - batch.created_at == 0

@pytest.mark.batchsim(limits=Limits(requests_per_batch=1))
def test_limits(batchsim):
    assert wait(OpenAI(), submit(OpenAI(), "a", "b")).status == "failed"

@pytest.mark.batchsim(seed=5, scenario="slow")
class TestNearest:
    @pytest.mark.batchsim(seed=6)
    def test_counts_for_each_argument(self, batchsim):
        assert (batchsim.seed, batchsim.scenario) == (6, "slow")

def test_the_option_is_for_those_without_a_seed(batchsim):
    assert batchsim.seed == 9
""",
        "--batchsim-seed=9",
    )
    result.assert_outcomes(passed=6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "sede=1",
            ["the marker batchsim takes no argument sede", "it takes seed=, scenario=, responder="],
        ),
        ("'slow'", ["the marker batchsim takes no argument 'slow'"]),
        (
            "scenario='slwo'",
            ["there is no scenario called 'slwo'", "*choose one of completed, input_order, slow"],
        ),
        ("pacing='fast'", ["there is no pacing called 'fast'", "*choose one of today, 2025"]),
        ("order='any'", ["*results cannot be in 'any' order", "*choose"]),
        ("seed='x'", ["the seed must be an int, not a str", "give a whole number"]),
        ("responder='none.jsonl'", ["none.jsonl: the recorded answers cannot be read: No such"]),
        ("allow='host'", ["*allow wants a list of hosts", "*write allow="]),
    ],
)
def test_a_wrong_marker_is_an_error_that_names_the_right_ones(run, arguments, words):
    result = run(
        f"""
@pytest.mark.batchsim({arguments})
def test_it(batchsim):
    pass

@pytest.mark.batchsim({arguments})
def test_backend(batchsim_backend):
    pass
"""
    )
    backend_takes = "allow" in arguments  # it intercepts nothing
    result.assert_outcomes(errors=1 if backend_takes else 2, passed=int(backend_takes))
    result.stdout.fnmatch_lines([f"{each}*" for each in words])
    result.stdout.no_fnmatch_line("*During handling of*")


@pytest.mark.parametrize(
    ("fixture", "lacking", "extra"),
    [
        ("batchsim_server", "httptools", "serve"),
        ("batchsim", "multipart", "testing"),
    ],
)
def test_without_an_extra_the_test_says_what_to_install(pytester, fixture, lacking, extra):
    done = run_without(pytester, lacking, f"def test_it({fixture}): ...")
    assert f"pip install 'batchsim[{extra}]'" in done.stdout
    assert lacking in done.stdout
    assert "Traceback" not in done.stdout
    assert "MissingExtra" not in done.stdout


def test_a_bare_backend_needs_no_extra(pytester):
    test = "def test_it(batchsim_backend): assert batchsim_backend.list_files().data == ()"
    assert run_without(pytester, "multipart", test).returncode == 0


def run_without(pytester, lacking, test):
    """Run a test where a package is not installed."""
    suite = pytester.makepyfile(test)
    pytester.makepyfile(**{lacking: f"raise ImportError(name='{lacking}')"})
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis", suite],
        capture_output=True,
        text=True,
        cwd=pytester.path,
        env={**os.environ, "PYTHONPATH": str(pytester.path)},
    )


def test_what_was_not_submitted_is_named(run):
    result = run(
        """
def test_it(batchsim):
    submit(OpenAI(), "a", "x")
    batchsim.assert_submitted(custom_ids=["a", *map(str, range(12))])

def test_nothing(batchsim):
    batchsim.assert_submitted(custom_ids=["a"])
"""
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: never submitted: '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', and 2 more",
            "E       submitted, but not expected: 'x'",
            "E       batches: 1 validating",
            "E       AssertionError: never submitted: 'a'",
            "E       no batch was created",
        ]
    )
    result.stdout.no_fnmatch_line("*Counter*")


DOUBLES = """
def test_again_while_the_first_lives(batchsim):
    client = OpenAI()
    first, second = submit(client, "a", "b"), submit(client, "b", "c")
    batchsim.assert_no_double_submission()

def test_again_with_a_good_result(batchsim):
    client = OpenAI()
    batch = wait(client, submit(client, "a"))
    client.files.delete(batch.output_file_id)
    submit(client, "a")
    batchsim.assert_no_double_submission()

@pytest.mark.batchsim(scenario="late_output_file")
def test_again_before_the_results_are_named(batchsim):
    client = OpenAI()
    batch = submit(client, "a")
    while client.batches.retrieve(batch.id).status != "completed":
        time.sleep(1)
    submit(client, "a")
    batchsim.assert_no_double_submission()
"""


def test_double_submissions_are_named(run):
    result = run(DOUBLES)
    result.assert_outcomes(failed=3)
    result.stdout.re_match_lines(
        [
            r"E       AssertionError: submitted again without need: 1",
            r"E         'b' in batch_\w+, after batch_\w+, which was validating",
            r"E         'a' in batch_\w+, after batch_\w+, which has a good result for it",
            r"E         'a' in batch_\w+, after batch_\w+, which has a good result for it",
        ]
    )


def test_a_second_try_with_a_reason_is_no_double_submission(run):
    result = run(
        """
from batchsim import Limits

@pytest.mark.batchsim(scenario="expired_empty")
def test_expired(batchsim):
    client = OpenAI()
    wait(client, submit(client, "a"))
    submit(client, "a")
    batchsim.assert_no_double_submission()

@pytest.mark.batchsim(scenario="quota_exhausted", order="input")
def test_only_what_failed(batchsim):
    client = OpenAI()
    batch = wait(client, submit(client, *"abcd"))
    errors = client.files.content(batch.error_file_id).text.splitlines()
    submit(client, *(json.loads(line)["custom_id"] for line in errors))
    batchsim.assert_no_double_submission()
    assert len(batchsim.requests) == 6

@pytest.mark.batchsim(limits=Limits(requests_per_batch=1))
def test_failed_in_validation(batchsim):
    client = OpenAI()
    wait(client, submit(client, "a", "b"))
    submit(client, "a"), submit(client, "b")
    batchsim.assert_no_double_submission()
"""
    )
    result.assert_outcomes(passed=3)


def test_a_failure_tells_the_seed_the_scenario_and_what_happened(run):
    result = run(
        """
@pytest.mark.batchsim(scenario="slow", pacing="instant")
def test_it(batchsim):
    answers("a")
    OpenAI(max_retries=0).files.content("file-none")

def test_idle(batchsim):
    assert 0

def test_without_the_fixture():
    assert 0
""",
        "--batchsim-seed=3",
    )
    result.assert_outcomes(failed=3)
    result.stdout.re_match_lines(
        [
            r"-+ batchsim -+",
            r"seed 3, scenario slow",
            r" +0 s  upload_file input.jsonl -> file-\w+, \d+ bytes",
            r" +0 s  create_batch file-\w+ /v1/chat/completions -> batch_\w+, validating",
            r" +60 s  retrieve_batch batch_\w+ -> in_progress, 0 of 1 line done \(479 times, until 28,740 s\)",
            r" +28,800 s  retrieve_batch batch_\w+ -> completed, 1 of 1 line done",
            r" +28,800 s  read_file file-\w+ -> its content",
            r" +28,800 s  read_file file-none -> refused with 404: No such File object: file-none",
            r"verdict on \d+ requests: 1 finding: leaves_files",
            r"  remedy: delete input, output and error files .*",
            r"again: pytest test_pipeline.py::test_it --batchsim-seed 3",
            r"-+ batchsim -+",
            r"seed 3, scenario completed",
            r"no request was made",
        ]
    )
    assert sum(line.startswith("seed 3") for line in result.outlines) == 2


def test_a_long_timeline_is_cut_in_the_middle(run):
    result = run(
        """
@pytest.mark.batchsim(responder={"a": "4"})
def test_it(batchsim):
    client = OpenAI()
    for number in range(50):
        client.batches.list(limit=number + 1)
        client.files.list()
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": ""}])
    assert 0
"""
    )
    result.stdout.re_match_lines(
        [r" +\.\.\. 41 more \.\.\.", r" +0 s  answer /v1/.* -> status 200"]
    )


def test_a_poller_of_what_never_ends_fails(run, monkeypatch):
    monkeypatch.setattr("batchsim.testing.virtual_sleep.MOST_SLEEPS", 100)
    result = run(
        """
@pytest.mark.batchsim(scenario="stuck_finalizing")
def test_it(batchsim):
    answers("a")
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the code under test has slept 100 times*"])


def test_another_process_reaches_the_account_through_a_port(run):
    pytest.importorskip("httptools")
    result = run(
        '''
import os, subprocess, sys

PROGRAM = """
import time
import pipeline
pipeline.time.sleep = lambda seconds: time.monotonic()
print(pipeline.answers("a", "b"))
"""

@pytest.mark.batchsim(responder={"a": "4", "b": "5"})
def test_it(batchsim, batchsim_server):
    environment = {**os.environ, **batchsim_server.environment}
    assert environment["OPENAI_BASE_URL"] == batchsim_server.base_url
    run = [sys.executable, "-c", PROGRAM]
    printed = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60)
    assert printed.stdout == "['4', '5']\\n", printed.stderr
    assert batchsim_server.account is batchsim
    batchsim.assert_submitted(custom_ids="ab")
    assert batchsim.verdict.codes == ("leaves_files",)
    assert 60 < batchsim.clock.now() - 1_767_225_600 <= 300

def test_the_server_itself_does_not_move_the_clock(batchsim, batchsim_server):
    before = batchsim.clock.now()
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)"], timeout=20)
    assert batchsim.clock.now() == before
'''
    )
    result.assert_outcomes(passed=2)


ASYNC_TESTS = """
@pytest.mark.{marker}
async def test_async(batchsim):
    assert '"custom_id"' in await answers_async("a")
    await asyncio.sleep(10)
    batchsim.assert_submitted(custom_ids=["a"])

@pytest.mark.{marker}
async def test_async_again(batchsim):
    assert batchsim.batches == []
    await asyncio.wait_for(asyncio.gather(*map(answers_async, "abc")), 3_600)
    assert batchsim.clock.now() - 1_767_225_600 < 600
"""


def test_with_pytest_asyncio(run):
    pytest.importorskip("pytest_asyncio")
    arguments = ("-o", "asyncio_default_fixture_loop_scope=session")
    tests = ASYNC_TESTS.format(marker="asyncio(loop_scope='session')")
    run(tests, *arguments, others=("no:randomly",)).assert_outcomes(passed=2)


def test_with_anyio(run):
    tests = ASYNC_TESTS.format(marker="anyio")
    fixture = '\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
    run(fixture + tests, others=("no:randomly", "no:asyncio")).assert_outcomes(passed=2)


def test_with_anyio_on_trio(run):
    pytest.importorskip("trio")
    tests = """
import anyio

@pytest.mark.anyio
async def test_async(batchsim, anyio_backend):
    with anyio.fail_after(3_600):
        await anyio.sleep(60)
    assert batchsim.clock.now() == 1_767_225_660

@pytest.fixture
def anyio_backend():
    return "trio"
"""
    run(tests, others=("no:randomly", "no:asyncio")).assert_outcomes(passed=1)


@pytest.mark.slow
def test_with_xdist_in_random_order(run):
    for plugin in ("xdist", "pytest_randomly"):
        if importlib.util.find_spec(plugin) is None:
            pytest.skip(f"{plugin} is not installed")
    tests = """
@pytest.mark.parametrize("number", range(8))
def test_it(batchsim, number):
    assert batchsim.batches == []
    assert answers("a")
    assert batchsim.seed == 4
    assert number != 7
"""
    result = run(tests, "-n2", "--batchsim-seed=4", others=("no:asyncio",))
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(
        ["*seed 4, scenario completed", "again: pytest *test_it* --batchsim-seed 4"]
    )


def test_the_same_seed_tells_the_same_story(run):
    tests = "\ndef test_it(batchsim):\n    answers('a')\n    assert 0\n"

    def story(seed):
        lines = run(tests, f"--batchsim-seed={seed}").outlines
        return lines[lines.index(f"seed {seed}, scenario completed") : -2]

    assert story(1) == story(1)
    assert story(1)[1:3] != story(2)[1:3]


def test_loading_it_loads_nothing_heavy():
    heavy = ["openai", "pydantic", "httpx", "httpx2", "uvicorn", "hypothesis", "orjson", "anyio"]
    script = "import sys, pytest; before = set(sys.modules); import batchsim.testing.plugin"
    script += "; print(*sys.modules.keys() - before)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()).isdisjoint(heavy)
    assert "batchsim.testing.plugin" in run.stdout


def test_a_run_inside_a_test_forgets_its_own_modules_and_no_others(pytester):
    pytester.makepyfile(theirs="", test_it="import theirs, colorsys\n\ndef test_it(): ...")
    sys.modules.pop("colorsys", None)
    pytester.syspathinsert()
    pytester.inline_run("-p", "no:asyncio", "-p", "no:randomly").assertoutcome(passed=1)
    assert "theirs" not in sys.modules
    assert "colorsys" in sys.modules
