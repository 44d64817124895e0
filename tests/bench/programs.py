"""The programs that are measured, each in a process of its own.

Run as `python tests/bench program NAME ARGUMENT...`. A program prints facts, which are numbers by
name. Of them `wall` and `cpu` are the cost of the part that is to be measured (measure.cost_of).
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.clock import VirtualClock

Facts = dict[str, float]
DAY = 86_400.0
_HOMES = ("programs", "restoring", "traffic", "parts")
ENDPOINT = "/v1/chat/completions"


def main() -> None:
    """Run the program that the second argument names, and print its facts."""
    name, *arguments = sys.argv[2:]
    for home in _HOMES:  # the others only when needed: they cost memory
        program = getattr(import_module(f"bench.{home}"), name, None)
        if program is not None:
            sys.stdout.write(json.dumps({"facts": program(*arguments)}) + "\n")
            return
    raise SystemExit(f"there is no program {name!r}")


@contextmanager
def timed(facts: Facts) -> Iterator[None]:
    """Add the wall and CPU seconds of the block, its children's included, to `facts`."""
    cpu, wall = _cpu(), perf_counter()
    yield
    facts["wall"] = facts.get("wall", 0.0) + perf_counter() - wall
    facts["cpu"] = facts.get("cpu", 0.0) + _cpu() - cpu


def _cpu() -> float:
    import resource

    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def parse(path: str) -> Facts:
    """The floor of everything that reads lines: split them, parse each, and forget it."""
    import orjson

    facts: Facts = {}
    with timed(facts), open(path, "rb") as stream:  # noqa: PTH123 - nothing else is imported
        for line in stream:
            orjson.loads(line)
    return facts


def copy(path: str) -> Facts:
    """The floor of everything that moves bytes: copy them through memory in pieces of 1 MiB."""
    facts: Facts = {}
    with timed(facts), Path(path).open("rb") as source, Path(f"{path}.copy").open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    Path(f"{path}.copy").unlink()
    return facts


def fake(path: str) -> Facts:
    """The fake alone: from creating a batch to its output file, on virtual time."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock

    facts: Facts = {}
    clock = VirtualClock()
    backend = FakeBackend(clock=clock)
    with Path(path).open("rb") as stream:
        file = backend.upload_file(stream, filename="input.jsonl")
    with timed(facts):
        _end_of_batch(backend, clock, file.id)
    return facts


def _end_of_batch(backend: Backend, clock: VirtualClock, file_id: str) -> str:
    batch = backend.create_batch(input_file_id=file_id, endpoint=ENDPOINT)
    clock.advance(DAY)
    batch = backend.retrieve_batch(batch.id)
    if batch.output_file_id is None or batch.request_counts.failed:
        raise SystemExit(f"the batch is {batch.status} with {batch.request_counts}")
    return batch.output_file_id


def job_through_client(path: str) -> Facts:
    """A job whose every request goes through the official client and a transport in the process."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.backends.openai import OpenAIBackend
    from batchsim.clock import VirtualClock
    from batchsim.runner.run import run
    from batchsim.testing.transport import openai_client

    facts: Facts = {}
    clock = VirtualClock()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        backend = OpenAIBackend(openai_client(FakeBackend(clock=clock)), clock=clock)
        with timed(facts):
            report = run(path, backend, results=Path(folder) / "results.jsonl")
    if not report.all_ok:
        raise SystemExit(f"not every line is ok: {report}")
    return facts


def one_line(path: str, times: str = "200") -> Facts:
    """A batch of one line in the process, from uploading to reading the result; the median."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock

    content = Path(path).read_bytes()
    seconds = []
    clock = VirtualClock()
    backend = FakeBackend(clock=clock)
    for _ in range(int(times)):
        started = perf_counter()
        file = backend.upload_file(io.BytesIO(content), filename="input.jsonl")
        output_id = _end_of_batch(backend, clock, file.id)
        b"".join(backend.read_file(output_id))
        seconds.append(perf_counter() - started)
    return {"wall": median(seconds)}


_TESTS = """
import pytest

@pytest.fixture
def plain():
    yield None

@pytest.mark.parametrize("number", range(100))
def test_plain(plain, number):
    pass

@pytest.mark.parametrize("number", range(100))
def test_with_batchsim(batchsim, number):
    pass
"""


def plugin_tests(_: str) -> Facts:
    """Measure what the plugin's fixture adds to a test that does nothing: the median of 100."""
    import pytest

    seconds: dict[str, list[float]] = {"test_plain": [], "test_with_batchsim": []}

    class Timing:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
            started = perf_counter()
            result = yield
            seconds[item.name.partition("[")[0]].append(perf_counter() - started)
            return result

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_suite.py").write_text(_TESTS)
        options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:terminal"]
        code = pytest.main([*options, folder], plugins=[Timing()])
    if code:
        raise SystemExit(int(code))
    plain, with_batchsim = (median(each) for each in seconds.values())
    return {
        "wall": with_batchsim - plain,
        "plain": plain,
        "slowest": max(seconds["test_with_batchsim"]),
    }


def client(path: str, answers: str) -> Facts:
    """The official client takes a batch from upload to results, on `fake` or on `fixed` answers."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.testing.transport import openai_client

    clock = VirtualClock()
    if answers == "fake":
        official = openai_client(FakeBackend(clock=clock))
    else:
        official = _client_of_fixed_answers(path)
    facts: Facts = {}
    with official, timed(facts), Path(path).open("rb") as stream:
        take_batch(official, stream, lambda: clock.advance(3_600))
    return facts


def _client_of_fixed_answers(path: str) -> Any:
    import openai

    from batchsim.backends.openai.connection import http_library
    from bench.fixed import FixedAnswers

    library = http_library()
    fixed = FixedAnswers(Path(path))

    def answer(request: Any) -> Any:
        request.read()
        head, body = fixed.answer(request.method, request.url.path)
        return library.Response(200, headers={"content-type": head}, content=b"".join(body))

    transport = library.MockTransport(answer)
    return openai.OpenAI(
        api_key="sk-bench",
        base_url="http://bench.invalid/v1",
        http_client=library.Client(transport=transport),
    )


def take_batch(official: Any, stream: BinaryIO, wait: Callable[[], object]) -> int:
    """Do what any program does with the official client; return the number of result lines."""
    file = official.files.create(file=stream, purpose="batch")
    batch = official.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
    )
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        wait()
        batch = official.batches.retrieve(batch.id)
    lines = 0
    with official.files.with_streaming_response.content(batch.output_file_id) as response:
        for piece in response.iter_bytes(1 << 20):
            lines += piece.count(b"\n")
    return lines
