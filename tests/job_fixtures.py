"""Builders for the runner's tests: inputs, and backends that fail where a test says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from batchsim.backends import Backend
from batchsim.backends.fake import FakeBackend
from batchsim.domain.batches import Batch
from batchsim.errors import OutcomeUnknown
from batchsim.runner.journal import Journal
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.planning.plan import make_plan

DRAWN = re.compile(
    rb"""batch_req_\w+|chatcmpl-\w+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<="created": )\d+"""
)


class Killed(BaseException):
    """The process ends here: nothing in the runner may catch it."""


class Interrupting(Backend):
    """A backend whose calls are counted and may fail before or after they take effect.

    `plan` is asked before each call with its number (from 1) and its name; it returns None for a
    call that is left alone, or ("before" | "after", exception).
    """

    def __init__(
        self, inner: Backend, plan: Callable[[int, str], tuple[str, BaseException] | None]
    ) -> None:
        self.inner = inner
        self.clock = inner.clock
        self.service = inner.service
        self.plan = plan
        self.calls: list[str] = []

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        self.calls.append(name)
        failure = self.plan(len(self.calls), name)
        if failure and failure[0] == "before":
            raise failure[1]
        answer = getattr(self.inner, name)(*args, **options)
        if failure:
            raise failure[1]
        return answer

    def upload_file(self, content: BinaryIO, **options: Any) -> Any:
        return self._call("upload_file", content, **options)

    def retrieve_file(self, file_id: str) -> Any:
        return self._call("retrieve_file", file_id)

    def list_files(self, **options: Any) -> Any:
        return self._call("list_files", **options)

    def delete_file(self, file_id: str) -> None:
        self._call("delete_file", file_id)

    def read_file(self, file_id: str) -> Iterator[bytes]:
        yield from self._call("read_file", file_id)

    def create_batch(self, **options: Any) -> Any:
        return self._call("create_batch", **options)

    def retrieve_batch(self, batch_id: str) -> Any:
        return self._call("retrieve_batch", batch_id)

    def cancel_batch(self, batch_id: str) -> Any:
        return self._call("cancel_batch", batch_id)

    def list_batches(self, **options: Any) -> Any:
        return self._call("list_batches", **options)


def chat(custom_id: str, model: str = "gpt-4o-mini", text: str = "hello") -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
    return {**line, "body": body}


def embedding(custom_id: str, inputs: int = 1) -> dict[str, Any]:
    body = {"model": "text-embedding-3-small", "input": [f"text {n}" for n in range(inputs)]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}


def plan_of(lines: list[dict[str, Any]], path: Path, **options: Any) -> Any:
    path.write_bytes(jsonl(lines))
    with path.open("rb") as stream:
        return make_plan(stream, path=path, **options)


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def batches_of(backend: Backend) -> list[Batch]:
    return list(backend.list_batches(limit=100).data)


def times_sent(backend: Backend) -> Counter[str]:
    """How often each line was sent in a batch, by its custom_id."""
    sent: Counter[str] = Counter()
    for batch in batches_of(backend):
        content = b"".join(backend.read_file(batch.input_file_id))
        sent.update(json.loads(line)["custom_id"] for line in content.splitlines())
    return sent


def service_lines(backend: FakeBackend, names: Iterable[str]) -> bytes:
    """The good results as the service wrote them, put in order here without the runner."""
    lines = {}
    for file in backend.undisturbed.list_files(purpose="batch_output").data:
        for line in b"".join(backend.undisturbed.read_file(file.id)).splitlines(keepends=True):
            result = json.loads(line)
            if result["response"]["status_code"] == 200:
                lines[result["custom_id"]] = line
    return b"".join(lines[name] for name in names)


def paid_by_shard(backend: FakeBackend) -> list[str]:
    """The shards of the batches that ran a line, one for each batch."""
    batches = batches_of(backend.undisturbed)
    return sorted(b.metadata["bs_shard"] for b in batches if b.request_counts.completed)


def answers_in(results: bytes) -> dict[str, str]:
    """The texts of the answers, by custom_id."""
    records = map(json.loads, results.splitlines())
    return {
        record["custom_id"]: record["response"]["body"]["choices"][0]["message"]["content"]
        for record in records
    }


def failing(statuses: dict[str, list[int]], bodies: Any = None) -> Callable[[Any], Any]:
    """Answers: a line gets its statuses one after another, then runs well."""
    left = {custom_id: list(codes) for custom_id, codes in statuses.items()}

    def answer(request: Any) -> Any:
        codes = left.get(request.custom_id)
        if not codes:
            return f"answer of {request.custom_id}"
        code = codes.pop(0)
        return code, (bodies or {}).get(code, {"error": {"message": "no", "code": "some_code"}})

    return answer


def entries_of(job: Path) -> list[tuple[float, Entry]]:
    """The entries of a job's journal, each with its time."""
    with Journal(job / "journal.db") as journal:
        return list(journal.entries())


def batches_by_shard(backend: Backend) -> Counter[str]:
    """How many batches each shard has, by the metadata that the runner gives them."""
    return Counter((batch.metadata or {})["bs_shard"] for batch in batches_of(backend))


def masked(results: bytes) -> bytes:
    """Results without what the service draws for each batch and each moment: ids and times."""
    return DRAWN.sub(b"*", results)


def killed_at_every_write(
    monkeypatch: pytest.MonkeyPatch, moment: str, job: Callable[[int], Any]
) -> Iterator[int]:
    """For each n from 1 on: `job(n)` was killed "before" or "after" its n-th write of the journal.

    It ends when a job came through untouched.
    """
    append = Journal.append
    for n in count(1):
        writes = count(1)

        def write(self: Journal, *entries: Any, n: int = n, writes: Any = writes, **options: Any):
            is_last = next(writes) == n
            if is_last and moment == "before":
                raise Killed
            append(self, *entries, **options)
            if is_last:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", write)
            try:
                job(n)
            except Killed:
                pass
            else:
                return
        yield n


def reply_lost(name: str, times: int = 1) -> Callable[[int, str], Any]:
    """The first so many calls of `name` take effect, and their answers are lost."""
    left = [times]

    def plan(number: int, called: str) -> tuple[str, BaseException] | None:
        if called != name or not left[0]:
            return None
        left[0] -= 1
        return "after", OutcomeUnknown("the answer was lost")

    return plan


@pytest.fixture(name="build")
def builders(tmp_path: Path) -> Any:
    """Everything above, and where to work."""

    class Build:
        folder = tmp_path
        results = tmp_path / "results.jsonl"
        job = tmp_path / "results.jsonl.job"
        source = tmp_path / "input.jsonl"

        Killed = Killed
        Interrupting = Interrupting
        chat = staticmethod(chat)
        embedding = staticmethod(embedding)
        plan_of = staticmethod(plan_of)
        jsonl = staticmethod(jsonl)
        batches_of = staticmethod(batches_of)
        batches_by_shard = staticmethod(batches_by_shard)
        reply_lost = staticmethod(reply_lost)
        masked = staticmethod(masked)
        times_sent = staticmethod(times_sent)
        service_lines = staticmethod(service_lines)
        paid_by_shard = staticmethod(paid_by_shard)
        answers_in = staticmethod(answers_in)
        failing = staticmethod(failing)
        killed_at_every_write = staticmethod(killed_at_every_write)

        def input(self, lines: list[dict[str, Any]]) -> Path:
            self.source.write_bytes(jsonl(lines))
            return self.source

        def records(self) -> list[dict[str, Any]]:
            return read_results(self.results)

        def entries(self) -> list[tuple[float, Entry]]:
            return entries_of(self.job)

        def ids(self) -> list[str]:
            return [record["custom_id"] for record in self.records()]

    return Build()


@pytest.fixture
def backend() -> Backend:
    return FakeBackend(seed=7, pacing="quick")
