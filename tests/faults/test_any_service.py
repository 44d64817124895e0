"""The project's own runner, under whatever a legal service does: it loses and pays
twice nothing.
"""

import os
import tempfile
from pathlib import Path

import openai
import orjson
import pytest

import batchsim
from batchsim.backends.openai import OpenAIBackend
from batchsim.domain.lines import ResultLine
from batchsim.errors import InputError, JobIncomplete
from batchsim.jsonl import read_lines
from batchsim.runner.policy import Policy
from batchsim.runner.run import run as run_job
from batchsim.testing.run_example import clock_of_example

EXAMPLES = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 50


@pytest.fixture(scope="module")
def client():
    """One client for all examples, as making one takes most of an example's time."""
    with openai.OpenAI(
        api_key="sk-any", base_url="http://batchsim.invalid/v1", max_retries=0
    ) as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize(("on_unknown", "seed"), [("stop", 0), ("wait", 20)])
def test_the_runner_lasts(client, on_unknown, seed):
    def run(lines):
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results.jsonl"
            backend = OpenAIBackend(client, clock=clock_of_example())
            run_job(lines, backend, results=results, policy=Policy(on_unknown=on_unknown))
            with results.open("rb") as stream:
                return [
                    ResultLine.from_object(orjson.loads(each.content))
                    for each in read_lines(stream)
                ]

    examples = EXAMPLES // 2
    tried = batchsim.check_pipeline(
        run, seconds=None, examples=examples, seed=seed, raises=(JobIncomplete, InputError)
    )
    assert tried == examples
