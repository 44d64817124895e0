"""Cases 137 and 138: downloads cut at a thousand places, without an end, and of enormous lines."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import JobIncomplete, TransferBroken
from batchsim.runner.effects import download
from batchsim.runner.policy import Backoff
from batchsim.runner.run import Policy, run

NAMES = [f"id-{n}" for n in range(8)]
TIMES = 1_000


class Cutting(FakeBackend):
    """Its downloads are cut at one place after another, silently or with an error."""

    is_silent = True
    cuts = 0

    def read_file(self, file_id):
        content = b"".join(self.undisturbed.read_file(file_id))
        self.cuts += 1
        if self.cuts > TIMES:
            yield content
            return
        yield content[: len(content) * (self.cuts - 1) // TIMES]
        if not self.is_silent:
            raise TransferBroken("the connection broke")


@pytest.mark.parametrize("is_silent", [True, False])
def test_case_137_a_file_cut_at_a_thousand_places_is_fetched_until_it_is_whole(build, is_silent):
    backend = Cutting(seed=1, pacing="quick")
    backend.is_silent = is_silent
    source = build.input([build.chat(name) for name in NAMES])
    policy = Policy(backoff=Backoff(first=0.1, longest=0.1, patience=1e9))
    report = run(source, backend, results=build.results, policy=policy)
    assert report.all_ok
    assert backend.cuts == TIMES + 1
    assert build.ids() == NAMES
    (output,) = backend.undisturbed.list_files(purpose="batch_output").data
    kept = (build.job / "shards" / "0001.output.jsonl").read_bytes()
    assert kept == b"".join(backend.undisturbed.read_file(output.id))


def test_case_129_a_content_without_end_does_not_fill_the_disk(build, monkeypatch):
    class Endless(FakeBackend):
        given = 0

        def read_file(self, file_id):
            while True:
                self.given += 1
                assert self.given < 10_000
                yield b"x" * 1_000

    monkeypatch.setattr(download, "MORE_THAN_SAID", 50_000)
    backend = Endless(seed=1, pacing="quick")
    source = build.input([build.chat(name) for name in NAMES])
    with pytest.raises(JobIncomplete, match="does not end"):
        run(source, backend, results=build.results, policy=Policy(backoff=Backoff(patience=5)))
    assert all(path.stat().st_size < 100_000 for path in build.job.rglob("*") if path.is_file())


def test_case_138_a_line_of_fifty_megabytes_comes_through_byte_for_byte(build):
    size = 50_000_000

    class Wordy(FakeBackend):
        def read_file(self, file_id):
            for piece in self.undisturbed.read_file(file_id):
                before, mark, after = piece.partition(b"MARK")
                yield before
                yield from [b"w" * 1_000_000] * (size // 1_000_000 if mark else 0)
                yield after

    backend = Wordy(seed=1, pacing="quick", responder={"a": "MARK", "b": "short"})
    source = build.input([build.chat("a"), build.chat("b")])
    tracemalloc.start()
    try:
        report = run(source, backend, results=build.results)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.all_ok
    assert most < 15 * size, "orjson alone sets aside twelve times a document, without using it"
    lines = build.results.read_bytes().splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == ["a", "b"]
    assert len(lines[0]) > size > len(lines[1])
