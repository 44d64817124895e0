"""Result files that change in the job directory: fetched again before they are used, never
believed.
"""

from __future__ import annotations

from collections import Counter

import pytest

from batchsim.backends.fake import FakeBackend, Faults, LineFault
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete, JournalError, Unavailable
from batchsim.runner.effects import finish_shard
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.policy import Policy
from batchsim.runner.run import run

ANSWERS = {f"id-{n}": f"answer {n}" for n in range(6)}
LIMITS = Limits(requests_per_batch=3)
POLICY = Policy(accept_lost=True)
COLLECTED = "have a good result"


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"answer")] ^= 1
    path.write_bytes(content)


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


def remove(path):
    path.unlink()


@pytest.fixture
def backend():
    return FakeBackend(seed=1, pacing="quick", responder=ANSWERS)


@pytest.fixture
def source(build):
    return build.input([build.chat(name) for name in ANSWERS])


@pytest.fixture
def run_until(build, source):
    """Run until so many shards were collected, or before that; the process then dies."""

    def run_until(backend, when):
        def kill(progress):
            if when in progress.message:
                raise build.Killed

        with pytest.raises(build.Killed):
            run(source, backend, results=build.results, limits=LIMITS, policy=POLICY, observe=kill)
        assert not build.results.exists()

    return run_until


def kept_file(build, shard=1):
    return build.job / "shards" / f"{shard:04}.output.jsonl"


def downloaded_files(backend):
    return [entry.subject for entry in backend.requests.entries() if entry.call == "read_file"]


@pytest.mark.parametrize("harm", [flip, shorten, remove])
@pytest.mark.parametrize("when", ["downloaded", COLLECTED], ids=["downloaded", "collected"])
def test_a_file_that_changed_between_two_runs_is_fetched_again(
    build, backend, source, run_until, when, harm
):
    run_until(backend, when)
    harm(kept_file(build))
    damaged = downloaded_files(backend)[0]
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    assert build.results.read_bytes() == build.service_lines(backend, ANSWERS)
    assert sorted(Counter(downloaded_files(backend)).values()) == [1, 2]
    assert downloaded_files(backend).count(damaged) == 2


def test_files_that_are_as_they_were_are_not_fetched_again(build, backend, source, run_until):
    run_until(backend, COLLECTED)
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    assert len(downloaded_files(backend)) == len(set(downloaded_files(backend))) == 2


def test_results_of_a_finished_job_are_never_restored_from_a_damaged_file(build, backend, source):
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    whole = build.results.read_bytes()
    build.results.unlink()
    flip(kept_file(build))
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    assert build.results.read_bytes() == whole == build.service_lines(backend, ANSWERS)


def test_a_damaged_file_that_the_service_no_longer_has_stops_the_job(
    build, backend, source, run_until
):
    run_until(backend, COLLECTED)
    flip(kept_file(build))
    file_id = downloaded_files(backend)[0]
    backend.undisturbed.delete_file(file_id)
    with pytest.raises(JobIncomplete, match="the results cannot be read: No such File"):
        run(source, backend, results=build.results, limits=LIMITS)
    assert not build.results.exists()


def test_fetching_it_again_is_tried_again(build, backend, source, run_until):
    run_until(backend, COLLECTED)
    flip(kept_file(build))
    failures = [0]

    def fail(number, name):
        failures[0] += name == "retrieve_file"
        return (
            ("before", Unavailable("down")) if name == "retrieve_file" and failures[0] < 4 else None
        )

    flaky = build.Interrupting(backend, fail)
    assert run(source, flaky, results=build.results, limits=LIMITS).all_ok
    assert failures[0] >= 4
    assert build.results.read_bytes() == build.service_lines(backend, ANSWERS)


def test_other_bytes_than_were_noted_are_not_believed(build, backend, source, run_until):
    run_until(backend, COLLECTED)
    flip(kept_file(build))

    class Changing(build.Interrupting):
        def read_file(self, file_id):
            yield b"".join(super().read_file(file_id)).replace(b"answer 0", b"answer 9")

    with pytest.raises(JournalError, match="has other bytes now"):
        run(source, Changing(backend, lambda *call: None), results=build.results, limits=LIMITS)
    assert not build.results.exists()


def swap(path):
    """Two places the wrong way round: nothing but a hash tells."""
    content = path.read_bytes()
    path.write_bytes(content[16:32] + content[:16] + content[32:])


def empty(path):
    path.write_bytes(b"")


@pytest.fixture
def backend_losing_a_line():
    """Its first output file lacks a result, so that a record of ours stands for it, and a round
    follows.
    """
    lost = LineFault("missing", custom_id="id-1", batch=1)
    return FakeBackend(seed=1, pacing="quick", responder=ANSWERS, faults=Faults(lines=(lost,)))


@pytest.mark.parametrize("harm", [swap, shorten, empty, remove])
@pytest.mark.parametrize("name", ["index", "records.jsonl"])
def test_an_index_that_changed_between_two_runs_is_made_anew_before_a_round(
    build, backend_losing_a_line, source, run_until, name, harm
):
    run_until(backend_losing_a_line, "2 of 3 lines have a good result")
    shards = build.job / "shards"
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    harm(shards / f"0001.{name}")
    again = run(source, backend_losing_a_line, results=build.results, limits=LIMITS, policy=POLICY)
    assert again.all_ok
    assert build.ids() == [*ANSWERS]
    assert {name: (shards / name).read_bytes() for name in before} == before
    batches = [batch.request_counts.total for batch in build.batches_of(backend_losing_a_line)]
    assert sorted(batches) == [1, 3, 3], "only the line that was lost is sent again"


@pytest.mark.parametrize("harm", [swap, shorten, empty, remove])
def test_results_of_a_finished_job_are_never_restored_by_a_damaged_index(
    build, backend, source, harm
):
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    whole = build.results.read_bytes()
    build.results.unlink()
    harm(build.job / "shards" / "0002.index")
    assert run(source, backend, results=build.results, limits=LIMITS).all_ok
    assert build.results.read_bytes() == whole == build.service_lines(backend, ANSWERS)


def test_an_index_is_not_made_anew_from_results_that_say_other_things(
    build, backend, source, monkeypatch
):
    run(source, backend, results=build.results, limits=LIMITS)
    build.results.unlink()
    swap(build.job / "shards" / "0001.index")
    monkeypatch.setattr(
        finish_shard, "collect_again", lambda context, shard: Tally(ok=2, missing=1)
    )
    with pytest.raises(JournalError, match="are not those that it was made from"):
        run(source, backend, results=build.results, limits=LIMITS)
    assert not build.results.exists()


@pytest.mark.parametrize("name", ["index", "records.jsonl"])
@pytest.mark.parametrize("harm", [swap, shorten, empty, remove])
def test_what_is_said_of_invalid_lines_is_made_anew_from_the_input(build, backend, name, harm):
    source = build.input([build.chat("a"), {"custom_id": "b"}, build.chat("a"), {"custom_id": "c"}])
    first = run(source, backend, results=build.results, skip_invalid=True)
    whole = build.results.read_bytes()
    build.results.unlink()
    harm(build.job / "shards" / f"0000.{name}")
    assert run(source, backend, results=build.results, skip_invalid=True) == first
    assert build.results.read_bytes() == whole


def test_it_is_not_made_anew_where_other_lines_are_invalid_now(build, backend):
    source = build.input([build.chat("a", model="llama-3"), build.chat("b")])
    only_gpt = {"supports": lambda name: name.startswith("gpt"), "skip_invalid": True}
    run(source, backend, results=build.results, **only_gpt)
    build.results.unlink()
    swap(build.job / "shards" / "0000.records.jsonl")
    everything = {"supports": lambda name: True, "skip_invalid": True}
    with pytest.raises(JournalError, match="other lines of the input are invalid now"):
        run(source, backend, results=build.results, **everything)
    assert run(source, backend, results=build.results, **only_gpt).invalid == 1
