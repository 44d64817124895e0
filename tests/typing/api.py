"""How a typed program uses batchsim; read by the type checker, never run."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import openai
import pydantic

import batchsim
from batchsim.backends import Page
from batchsim.domain.lifecycle import Status
from batchsim.verdict import judge


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


class Answer(pydantic.BaseModel):
    value: int


def run(backend: batchsim.Backend) -> bool:
    results = batchsim.run(Path("input.jsonl"), backend, results=Path("results.jsonl"))
    assert_type(results, batchsim.Results[None])
    assert_type(results.cost, Decimal | None)
    assert_type(len(results.failed), int)
    return results.all_ok


def build() -> None:
    assert_type(batchsim.Request.chat("a", model="b"), batchsim.Request[None])
    assert_type(batchsim.Request.embedding("a", model="b"), batchsim.Request[None])
    json = batchsim.Request.response("a", model="b", response_format={"type": "json_object"})
    assert_type(json, batchsim.Request[None])
    parsed = batchsim.Request.response("a", model="b", response_format=Answer)
    assert_type(parsed, batchsim.Request[Answer])


def parse(backend: batchsim.Backend) -> None:
    lines = (batchsim.Request.chat("a", model="b", response_format=Answer) for _ in range(2))
    for result in batchsim.run(lines, backend, policy=batchsim.Policy(max_live=3)):
        assert_type(result, batchsim.Result[Answer])
        assert_type(result.parsed, Answer | None)
        assert_type(result.validation_error, pydantic.ValidationError | None)
    same = batchsim.run("input.jsonl", backend, response_format=Answer)
    assert_type(next(iter(same.failed)).parsed, Answer | None)
    objects: list[dict[str, object]] = [{"custom_id": "a"}]
    assert_type(batchsim.run(objects, backend), batchsim.Results[None])


async def run_beside(backend: batchsim.Backend) -> batchsim.Results[None]:
    return await asyncio.to_thread(batchsim.run, "input.jsonl", backend)


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


def check(lines: list[dict[str, object]]) -> None:
    def pipeline(lines: list[dict[str, object]]) -> list[str | None]:
        return [None for _ in lines]

    assert_type(batchsim.check_pipeline(pipeline, lines=lines, raises=TimeoutError), int)
    assert_type(judge(batchsim.FakeBackend().history()).codes, tuple[str, ...])
