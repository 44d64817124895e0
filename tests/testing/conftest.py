"""What the tests of the in-process doors share: one request, and the HTTP libraries."""

import asyncio
import importlib
import json

import openai
import pytest

from batchsim import intercept
from batchsim.backends.fake import FakeBackend
from batchsim.testing import account, sleeping  # noqa: F401 - see everything_imported

LINE = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "こんにちは"}]},
}


@pytest.fixture
def content():
    """An input file of one request."""
    return json.dumps(LINE).encode() + b"\n"


@pytest.fixture
def backend():
    return FakeBackend(seed=1)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request):
    """An HTTP library whose clients the installed SDK takes."""
    import openai

    library = importlib.import_module(request.param)
    with library.Client() as client:
        try:
            openai.OpenAI(api_key="x", http_client=client)
        except TypeError:
            pytest.skip(f"this release of openai does not take clients of {request.param}")
    return library


@pytest.fixture(scope="session")
def everything_imported():
    """Import what runs of pytest inside a test need: each of them forgets what it imported itself.

    A compiled module that is imported anew keeps the classes of its first import, so that what it
    raises afterwards is not what others catch.
    """
    from batchsim.server.serve import running
    from batchsim.wire import App

    async def list_async():
        return [batch async for batch in openai.AsyncOpenAI().batches.list()]

    with intercept(FakeBackend()):
        openai.OpenAI().batches.list()
        asyncio.run(list_async())
    with running(App(FakeBackend())) as address:
        list(openai.OpenAI(base_url=f"{address}/v1", api_key="x").batches.list())
