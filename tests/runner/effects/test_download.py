"""Downloads: resumed after the last byte that came, hashed, and never half under their name."""

from __future__ import annotations

import hashlib

import pytest

from batchsim.backends import Resumes
from batchsim.backends.fake import FakeBackend
from batchsim.errors import JobIncomplete, Refused, TransferBroken
from batchsim.runner.journal import Journal
from batchsim.runner.journal.shard_entries import Downloaded
from batchsim.runner.policy import Backoff
from batchsim.runner.run import Policy, run


class Breaking(FakeBackend):
    """Breaks each of the first transfers after so many bytes; `starts` is where each began."""

    def __init__(self, *cuts):
        super().__init__(pacing="quick")
        self.cuts, self.starts = list(cuts), []

    def read_file(self, file_id):
        yield from self._read(file_id, 0)

    def _read(self, file_id, start):
        self.starts.append(start)
        content = b"".join(self.undisturbed.read_file(file_id))[start:]
        if not self.cuts:
            yield content
            return
        yield content[: self.cuts.pop(0)]
        raise TransferBroken("the content ended early")


class Resuming(Breaking):
    def read_file_from(self, file_id, start):
        yield from self._read(file_id, start)


def journal_entries(build):
    with Journal(build.job / "journal.db") as journal:
        return [entry for _, entry in journal.entries()]


def finish_job(build, backend, **policy):
    report = run(
        build.input([build.chat(f"id-{n}") for n in range(20)]),
        backend,
        results=build.results,
        policy=Policy(**policy),
    )
    assert report.all_ok
    (downloaded,) = [each for each in journal_entries(build) if isinstance(each, Downloaded)]
    content = (build.job / "shards" / "0001.output.jsonl").read_bytes()
    assert downloaded.sha256 == hashlib.sha256(content).hexdigest()
    assert downloaded.bytes == len(content)
    return content


def test_a_broken_download_goes_on_after_its_last_byte(build):
    backend = Resuming(1_000, 0, 500)
    assert isinstance(backend, Resumes)
    finish_job(build, backend)
    assert backend.starts == [0, 1_000, 1_000, 1_500]


def test_a_service_that_cannot_resume_is_read_from_the_start(build):
    backend = Breaking(1_000)
    assert not isinstance(backend, Resumes)
    finish_job(build, backend)
    assert backend.starts == [0, 0]


def test_another_process_starts_over(build):
    backend = Resuming(*[10] * 100)
    with pytest.raises(JobIncomplete):
        finish_job(build, backend, backoff=Backoff(patience=20))
    assert not (build.job / "shards" / "0001.output.jsonl").exists()
    backend.cuts.clear()
    backend.starts.clear()
    finish_job(build, backend)
    assert backend.starts == [0]


def test_a_content_that_is_shorter_than_what_came_is_read_anew(build):
    class Shrunk(Resuming):
        def read_file_from(self, file_id, start):
            self.starts.append(start)
            if start:
                raise Refused("out of range", status=416)
            yield b""

    backend = Shrunk(1_000)
    finish_job(build, backend)
    assert backend.starts == [0, 1_000, 0]
