"""A test suite that knows only `OpenAI(api_key="x")` runs on the fake with one fixture."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.sdk

CONFTEST = """
import batchsim
import pytest


@pytest.fixture(autouse=True)
def fake():
    with batchsim.intercept(batchsim.FakeBackend(seed=1, pacing="instant")) as fake:
        yield fake
"""

TESTS = """
import asyncio
import io
import json
import urllib.request

import pytest
from openai import AsyncOpenAI, OpenAI

LINE = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
}
INPUT = json.dumps(LINE).encode()


def test_a_batch():
    client = OpenAI(api_key="x")
    file = client.files.create(file=("input.jsonl", io.BytesIO(INPUT)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        batch = client.batches.retrieve(batch.id)
    output = client.files.content(batch.output_file_id).text
    assert json.loads(output)["custom_id"] == "request-1"


def test_an_upload_from_asyncio():
    async def upload():
        client = AsyncOpenAI(api_key="x")
        return await client.files.create(file=("input.jsonl", INPUT), purpose="batch")

    assert asyncio.run(upload()).filename == "input.jsonl"


def test_no_test_sees_what_another_left():
    assert OpenAI(api_key="x").files.list().data == []


def test_no_network():
    with pytest.raises(Exception, match="nothing may reach example.com:443"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open("https://example.com")
"""


def test_one_fixture_is_enough(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_program.py").write_text(TESTS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 passed" in run.stdout
