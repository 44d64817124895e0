"""Fault matrix, disk rows: a full, failing or read-only disk at every write there is.

Whatever is written fails once: the bytes of every file that appears by renaming, of downloads,
every
sync, every rename, and what the journal takes in. The job stops, with exit code 75, asks the
service
for nothing more, and leaves the input as it was and no file half there; the next run finishes it.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
from pathlib import Path

import pytest

from batchsim import jsonl
from batchsim.backends.fake import FakeBackend
from batchsim.cli.terminal.exit_codes import INCOMPLETE, exit_code
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete
from batchsim.runner.journal import Journal
from batchsim.runner.run import run

LIMITS = Limits(requests_per_batch=1)
NAMES = ["id-1"]
"""It fails at first, so that there is a second round."""

CODES = [errno.ENOSPC, errno.EIO, errno.EROFS]


class Disk:
    """Counts what is written, and fails the n-th time; `at_failure` is called then."""

    def __init__(self, patch, opened_databases):
        self.code = errno.ENOSPC
        self.reset(None)
        patch.setattr(os, "fsync", self.failing("fsync", lambda descriptor: None))
        patch.setattr(Path, "replace", self.failing("replace", Path.replace))
        patch.setattr(jsonl, "open", self.opened, raising=False)
        patch.setattr(os, "fdopen", self.opened_descriptor(os.fdopen))
        append = Journal.append

        def write(journal, at, *entries, **options):
            # The system's error is SQLite's own here: it may not write any more.
            if self.is_hit("journal"):
                opened_databases["journal.db"].execute("PRAGMA query_only = ON")
            append(journal, at, *entries, **options)

        patch.setattr(Journal, "append", write)

    def reset(self, fail_at, at_failure=lambda: None):
        self.seen, self.fail_at, self.at_failure = [], fail_at, at_failure

    def is_hit(self, name):
        self.seen.append(name)
        if len(self.seen) != self.fail_at:
            return False
        self.at_failure()
        return True

    def check(self, name):
        if self.is_hit(name):
            raise OSError(self.code, os.strerror(self.code))

    def failing(self, name, real):
        def call(*arguments, **options):
            self.check(name)
            return real(*arguments, **options)

        return call

    def opened(self, path, mode, opener):
        return io.BufferedWriter(self.file(path, mode, opener))

    def opened_descriptor(self, real):
        def opened(descriptor, *mode, **options):
            if mode != ("r+b",):
                return real(descriptor, *mode, **options)
            return io.BufferedRandom(self.file(descriptor, "r+b", None))

        return opened

    def file(self, path, mode, opener):
        disk = self

        class File(io.FileIO):
            def write(self, content):
                disk.check("write")
                return super().write(content)

        return File(path, mode.replace("b", ""), opener=opener)


def failing_once(request):
    if request.custom_id == "id-1" and request.custom_id not in failing_once.done:
        failing_once.done.add(request.custom_id)
        return 500, {"error": {"message": "again", "code": "server_error"}}
    return f"answer {request.custom_id}"


@pytest.mark.slow
def test_every_write_fails_once_and_the_next_run_goes_on(build, monkeypatch, opened_databases):
    source = build.input([build.chat(name) for name in NAMES])
    before = source.read_bytes()
    disk = Disk(monkeypatch, opened_databases)
    hit = set()
    for n in itertools.count(1):
        failing_once.done = set()
        backend = FakeBackend(seed=1, pacing="quick", responder=failing_once)
        backend.lasts = True  # what is in memory only waits for no disk
        results, requests = build.folder / f"{n}.jsonl", []
        disk.code = CODES[n % len(CODES)]
        disk.reset(n, lambda b=backend, r=requests: r.append(b.requests.count))
        try:
            run(source, backend, results=results, limits=LIMITS)
            break
        except JobIncomplete as error:
            failure = error
        hit.add(disk.seen[n - 1])
        place = f"write {n}, {disk.seen[n - 1]}"
        assert exit_code(failure) == INCOMPLETE, place
        assert failure.hint, place
        assert "Errno" not in failure.message, place
        assert disk.seen[n - 1] == "journal" or os.strerror(disk.code) in failure.message, place
        assert requests == [backend.requests.count], f"it asked for more after {place}"
        assert not list(build.folder.rglob("*.tmp")), place
        assert source.read_bytes() == before
        if results.exists():
            assert results.read_bytes() == build.service_lines(backend, NAMES), place
        disk.reset(None)
        assert run(source, backend, results=results, limits=LIMITS).all_ok, place
        assert results.read_bytes() == build.service_lines(backend, NAMES), place
        assert len(build.batches_of(backend)) == 2, place
    assert hit == {"fsync", "replace", "write", "journal"}
    assert n > 30


def test_a_journal_that_cannot_be_opened_for_want_of_room_is_not_called_damaged(
    build, read_only_databases
):
    source = build.input([build.chat(name) for name in NAMES])
    backend = FakeBackend(pacing="quick")
    kill = lambda number, name: ("after", build.Killed()) if name == "create_batch" else None  # noqa: E731
    with pytest.raises(build.Killed):
        run(source, build.Interrupting(backend, kill), results=build.results)
    refused = pytest.raises(JobIncomplete, match="cannot be written: attempt to write a readonly")
    with read_only_databases(), refused:
        run(source, backend, results=build.results)
    assert run(source, backend, results=build.results).all_ok
    assert len(build.batches_of(backend)) == 1
