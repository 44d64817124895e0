"""Uploads and downloads side by side: the same job, one writer, and errors that reach the loop."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import ScaledClock
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete, OutcomeUnknown, Refused
from batchsim.runner.engine.workers import ENDS_WITHIN, WorkerPool
from batchsim.runner.journal import Journal
from batchsim.runner.run import Policy, run
from batchsim.runner.schedule.actions import Upload

LIMITS = Limits(requests_per_batch=1)
SHARDS = 6


class MeetingUploads(FakeBackend):
    """Holds each upload until so many are under way at once, or somebody has waited long enough."""

    def __init__(self, **options):
        super().__init__(clock=ScaledClock(10_000), pacing="quick", **options)
        self.barrier = threading.Barrier(3)
        self.together = 0
        self.threads = set()

    def upload_file(self, content, **options):
        self.threads.add(threading.current_thread().name)
        try:
            self.barrier.wait(5)
            self.together += 1
        except threading.BrokenBarrierError:
            pass
        return super().upload_file(content, **options)


@pytest.fixture
def source(build):
    return build.input([build.chat(f"id-{n}") for n in range(SHARDS)])


def test_uploads_go_side_by_side_and_one_thread_writes(build, source, monkeypatch):
    append, writers = Journal.append, set()

    def write(self, at, *entries, **options):
        writers.add(threading.current_thread().name)
        append(self, at, *entries, **options)

    monkeypatch.setattr(Journal, "append", write)
    backend = MeetingUploads()
    policy = Policy(parallel=3, alone=True)
    report = run(source, backend, results=build.results, limits=LIMITS, policy=policy)
    assert report.all_ok
    assert backend.together == SHARDS
    assert writers == {threading.current_thread().name}
    assert build.ids() == [f"id-{n}" for n in range(SHARDS)]
    assert set(build.batches_by_shard(backend).values()) == {1}


def test_one_at_a_time_needs_no_threads(build, source):
    backend = MeetingUploads()
    backend.barrier = threading.Barrier(1)
    policy = Policy(parallel=1)
    assert run(source, backend, results=build.results, limits=LIMITS, policy=policy).all_ok
    assert backend.threads == {threading.current_thread().name}


def test_on_a_virtual_clock_there_are_no_threads(build, source):
    backend = FakeBackend(pacing="quick")
    before = threading.active_count()
    seen = set()
    run(
        source,
        backend,
        results=build.results,
        limits=LIMITS,
        policy=Policy(parallel=8),
        observe=lambda progress: seen.add(threading.active_count()),
    )
    assert seen == {before}


def test_a_refusal_in_a_worker_stops_the_job_with_its_words(build, source):
    class Refusing(MeetingUploads):
        def upload_file(self, content, **options):
            raise Refused("no more room", code="quota")

    with pytest.raises(JobIncomplete, match="no more room"):
        run(
            source,
            Refusing(),
            results=build.results,
            limits=LIMITS,
            policy=Policy(parallel=3),
        )


def test_what_ends_a_worker_ends_the_run_and_the_next_goes_on(build, source):
    class Ending(MeetingUploads):
        ended = False

        def upload_file(self, content, **options):
            if not Ending.ended and "-s0002-" in options["filename"]:
                Ending.ended = True
                raise build.Killed
            return FakeBackend.upload_file(self, content, **options)

    backend = Ending()
    with pytest.raises(build.Killed):
        run(source, backend, results=build.results, limits=LIMITS, policy=Policy(parallel=3))
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    assert set(build.batches_by_shard(backend).values()) == {1}


def test_uploads_without_an_answer_are_looked_for_side_by_side(build, source):
    class Losing(MeetingUploads):
        lost = 0

        def upload_file(self, content, **options):
            file = FakeBackend.upload_file(self, content, **options)
            if Losing.lost < 3:
                Losing.lost += 1
                raise OutcomeUnknown("the answer was lost")
            return file

    backend = Losing()
    policy = Policy(parallel=3)
    assert run(source, backend, results=build.results, limits=LIMITS, policy=policy).all_ok
    assert len(backend.list_files(purpose="batch").data) == SHARDS


def test_however_many_workers_hang_the_stop_waits_for_all_of_them_together(build, monkeypatch):
    class Hung:
        waited = 0.0

        def __init__(self, **options):
            pass

        def start(self):
            pass

        def join(self, timeout):
            Hung.waited += timeout
            now[0] += timeout

    now = [100.0]
    monkeypatch.setattr("batchsim.clock.SystemClock.steady", lambda self: now[0])
    work = SimpleNamespace(
        backend=FakeBackend(clock=ScaledClock(10)),
        policy=Policy(parallel=4),
        stopping=threading.Event(),
    )
    monkeypatch.setattr(threading, "Thread", Hung)
    with WorkerPool(work) as crew:
        assert all(crew.start(Upload(number)) for number in range(1, 5))
    assert work.stopping.is_set()
    assert Hung.waited == ENDS_WITHIN
