"""The clients that a fake hands out: the official ones, wired to it."""

import asyncio
import io

import openai
import pytest

from batchsim import FakeBackend

pytestmark = pytest.mark.sdk

CONTENT = b'{"custom_id": "a"}\n'


def test_a_client_talks_to_the_fake_that_made_it():
    fake = FakeBackend()
    with fake.openai_client(timeout=7.0) as client:
        assert isinstance(client, openai.OpenAI)
        assert client.timeout == 7.0
        file = client.files.create(file=("a.jsonl", io.BytesIO(CONTENT)), purpose="batch")
    assert fake.retrieve_file(file.id).bytes == len(CONTENT)


def test_an_async_client_talks_to_the_fake_that_made_it():
    fake = FakeBackend()

    async def upload():
        async with fake.async_openai_client(max_retries=0) as client:
            assert isinstance(client, openai.AsyncOpenAI)
            assert client.max_retries == 0
            return await client.files.create(file=("a.jsonl", CONTENT), purpose="batch")

    assert asyncio.run(upload()).id == fake.list_files().data[0].id
