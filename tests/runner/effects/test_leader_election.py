"""Of several runners of one job the one creates that uploaded first; the others say why they do
not.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import replace

import pytest

from batchsim.backends.fake import FakeBackend, Faults
from batchsim.errors import JobIncomplete, OutcomeUnknown
from batchsim.runner.job import JobDirectory, fold
from batchsim.runner.job.remote_names import site_of
from batchsim.runner.journal import Journal
from batchsim.runner.policy import ServiceTimes
from batchsim.runner.run import Policy, run

ALONE = Policy(alone=True)


@pytest.fixture
def begun_job(build, backend):
    """A job whose runner was killed when it had uploaded its file; its input."""
    source = build.input([build.chat("a")])
    plan = {"create_batch": ("before", build.Killed())}
    killing = build.Interrupting(backend, lambda _, name: plan.get(name))
    with pytest.raises(build.Killed):
        run(
            source,
            killing,
            results=build.results,
            policy=Policy(service_times=ServiceTimes(claim_wait=0)),
        )
    return source


def copy_job(build, name="copy.job"):
    place = build.folder / name
    shutil.copytree(build.job, place)
    return place


def state_of(place):
    with Journal(place / "journal.db") as journal:
        return fold(journal.entries())


def test_a_runner_waits_once_before_its_first_create(build, backend):
    created = []
    create = backend.create_batch
    backend.create_batch = lambda **o: created.append(backend.clock.now()) or create(**o)
    start = backend.clock.now()
    lines = [build.chat("a"), build.chat("b", model="gpt-4o")]
    run(build.input(lines), backend, results=build.results)
    assert [moment - start for moment in created] == [40, 40]
    start = backend.clock.now()
    run(build.source, backend, results=build.folder / "other.jsonl", policy=ALONE)
    assert [moment - start for moment in created[2:]] == [0, 0]


@pytest.mark.parametrize("on_unknown", ["stop", "wait", "fence"])
def test_the_same_place_goes_on_and_a_copy_stands_back(build, begun_job, backend, on_unknown):
    place = copy_job(build)
    results = build.folder / "copy.jsonl"
    with pytest.raises(JobIncomplete) as caught:
        run(begun_job, backend, results=results, job=place, policy=Policy(on_unknown=on_unknown))
    assert "no answer came" in caught.value.message  # the copy knows of a create under way
    assert "--alone" in caught.value.hint
    assert not build.batches_of(backend)
    assert len(backend.list_files(purpose="batch").data) == 1, "the first may be about to use it"
    report = run(begun_job, backend, results=build.results, policy=Policy(on_unknown="fence"))
    assert report.all_ok
    assert len(build.batches_of(backend)) == 1


@pytest.fixture
def uploaded_job(build, backend):
    """A job whose runner was killed before it could look whether it was the first; its input."""
    source = build.input([build.chat("a")])
    lists = []

    def plan(_, name):
        lists.append(name)
        return ("before", build.Killed()) if lists.count("list_files") == 2 else None

    with pytest.raises(build.Killed):
        run(source, build.Interrupting(backend, plan), results=build.results)
    return source


def test_a_copy_that_comes_later_names_the_file_of_the_first_and_takes_over_its_batch(
    build, uploaded_job, backend
):
    place, results = copy_job(build), build.folder / "copy.jsonl"
    (first,) = backend.list_files(purpose="batch").data
    with pytest.raises(JobIncomplete) as caught:
        run(uploaded_job, backend, results=results, job=place)
    assert first.filename in caught.value.message
    assert first.id in caught.value.message
    assert "--alone" in caught.value.hint
    assert not build.batches_of(backend)
    assert run(uploaded_job, backend, results=build.results).all_ok
    assert run(uploaded_job, backend, results=results, job=place).all_ok
    assert results.read_bytes() == build.results.read_bytes()
    assert len(build.batches_of(backend)) == 1


def test_who_says_to_be_alone_goes_on_where_another_place_began_and_says_it_once(
    build, uploaded_job, backend
):
    place, results = copy_job(build), build.folder / "copy.jsonl"
    killing = build.Interrupting(
        backend, lambda _, name: ("before", build.Killed()) if name == "list_batches" else None
    )
    with pytest.raises(build.Killed):
        run(uploaded_job, killing, results=results, job=place, policy=ALONE)
    assert run(uploaded_job, backend, results=results, job=place).all_ok
    assert len(backend.list_files(purpose="batch").data) == 2, "one input, one output"


def test_a_directory_that_is_renamed_is_the_same_place(build, uploaded_job, backend):
    before = JobDirectory(build.job).site
    moved = build.job.rename(build.folder / "moved.job")
    assert JobDirectory(moved).site == before
    assert JobDirectory(copy_of_copy(moved, build)).site != before
    assert run(uploaded_job, backend, results=build.results, job=moved).all_ok


def copy_of_copy(place, build):
    return shutil.copytree(place, build.folder / "again.job")


def test_a_claim_ends_with_its_file(build):
    """Fenced off: what is uploaded next has to be the first anew."""
    backend = FakeBackend(pacing="quick")
    lost = [OutcomeUnknown("lost")]

    def plan(_, name):
        return ("before", lost.pop()) if name == "create_batch" and lost else None

    source = build.input([build.chat("a")])
    fence = Policy(on_unknown="fence")
    run(source, build.Interrupting(backend, plan), results=build.results, policy=fence)
    with Journal(build.job / "journal.db") as journal:
        kinds = [type(entry).__name__ for _, entry in journal.entries()]
    assert kinds.count("Elected") == 2
    assert kinds.index("CreateFenced") < len(kinds) - kinds[::-1].index("Elected")


def upload_from_elsewhere(build, backend, seconds):
    """A file of the job from another place, uploaded so long after the first."""
    started = state_of(build.job).started
    (own,) = backend.list_files(purpose="batch").data
    backend.clock.sleep(seconds)
    name = own.filename[: -len("01234567.jsonl")] + "01234567.jsonl"
    assert site_of(name, started) == "01234567"
    return backend.upload_file(io.BytesIO(build.source.read_bytes()), filename=name)


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_file_that_came_later_stops_nobody(build, uploaded_job, backend, seconds):
    upload_from_elsewhere(build, backend, seconds)
    last = max(backend.list_files(purpose="batch").data, key=lambda file: file.id)
    if seconds or "01234567" in last.filename:
        assert run(uploaded_job, backend, results=build.results).all_ok
        return
    with pytest.raises(JobIncomplete, match="01234567"):  # of the same second: the ids decide
        run(uploaded_job, backend, results=build.results)


def test_where_the_service_tells_no_times_any_other_file_goes_first(build, uploaded_job, backend):
    upload_from_elsewhere(build, backend, 5)
    pages = backend.list_files

    def timeless(**options):
        page = pages(**options)
        return replace(page, data=tuple(replace(file, created_at=0) for file in page.data))

    backend.list_files = timeless
    with pytest.raises(JobIncomplete, match="another runner of this job, at another site"):
        run(uploaded_job, backend, results=build.results)


def test_files_of_other_jobs_and_other_names_mean_nothing(build, uploaded_job, backend):
    for name in ("input.jsonl", "bs-0123456789ab-r0-s0001-t0-0123456789abcdef-01234567.jsonl"):
        backend.upload_file(io.BytesIO(build.source.read_bytes()), filename=name)
    assert run(uploaded_job, backend, results=build.results).all_ok


def test_a_list_that_never_shows_our_own_file_stops_the_job_after_a_while(build):
    backend = FakeBackend(pacing="quick", faults=Faults(file_unseen_for=10**7))
    start = backend.clock.now()
    with pytest.raises(JobIncomplete, match="does not show what was uploaded"):
        run(build.input([build.chat("a")]), backend, results=build.results)
    assert backend.clock.now() - start >= Policy().backoff.patience
    assert not build.batches_of(backend)
