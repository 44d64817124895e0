"""How a typed program uses batchsim; read by the type checker, never run."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import openai

import batchsim
from batchsim.backends import Page
from batchsim.domain.lifecycle import Status


def both_are_backends(real: bool) -> batchsim.Backend:
    if real:
        return batchsim.OpenAIBackend(base_url="http://127.0.0.1:8000/v1", api_key="sk-x")
    return batchsim.FakeBackend(seed=1, clock=batchsim.VirtualClock())


def walk(backend: batchsim.Backend) -> None:
    batch = backend.create_batch(input_file_id="file-1", endpoint="/v1/embeddings")
    assert_type(batch, batchsim.Batch)
    assert_type(batch.status, Status)
    assert_type(backend.list_batches(), Page[batchsim.Batch])
    assert_type(backend.read_file("file-1"), Iterator[bytes])


def run(backend: batchsim.Backend) -> bool:
    report = batchsim.run(Path("input.jsonl"), backend, results=Path("results.jsonl"))
    return report.all_ok


def test_suite() -> None:
    with batchsim.intercept(batchsim.FakeBackend(), allow=["db.example:5432"]) as fake:
        assert_type(fake, batchsim.FakeBackend)
        assert_type(fake.openai_client(timeout=3), openai.OpenAI)
        assert_type(fake.async_openai_client(), openai.AsyncOpenAI)


@batchsim.intercept(batchsim.FakeBackend())
async def decorated(name: str) -> int:
    return len(name)


async def decorated_all_the_same() -> None:
    assert_type(await decorated("a"), int)
