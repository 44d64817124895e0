"""Adopting: batches that others made are finished as a job, without paying for anything twice."""

from __future__ import annotations

import io
import json
from collections import Counter

import pytest

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.domain.limits import HOUR
from batchsim.errors import JobIncomplete, UsageError
from batchsim.runner.adoption.adopt import Adopted, BatchFilter, adopt
from batchsim.runner.journal import Journal
from batchsim.runner.planning.plan import InvalidInput
from batchsim.runner.run import Policy, run

CHAT = "/v1/chat/completions"


def make_batch(backend, build, lines, endpoint=CHAT, metadata=None):
    """A batch as another tool would make it."""
    content = lines if isinstance(lines, bytes) else build.jsonl(lines)
    file = backend.upload_file(io.BytesIO(content), filename="theirs.jsonl")
    return backend.create_batch(input_file_id=file.id, endpoint=endpoint, metadata=metadata)


@pytest.mark.parametrize("hours", [0, 1, 30])
def test_a_batch_is_taken_over_at_any_moment_and_what_is_left_is_sent_again(build, hours):
    backend = FakeBackend(pacing=Pacing(running=0, running_per_line=4.5 * HOUR, spread=0))
    lines = [build.chat(f"id-{n}") for n in range(10)]
    batch = make_batch(backend, build, lines)
    backend.clock.sleep(hours * HOUR)
    told = []
    report = adopt(
        BatchFilter(ids=[batch.id]), backend, results=build.results, announce=told.append
    )
    assert (report.ok, report.all_ok, report.rounds, report.resent) == (10, True, 1, 5)
    assert build.ids() == [line["custom_id"] for line in lines]
    assert told == [Adopted((batch.id,), lines=10, unsent=0, unknown=())]
    assert (build.job / "requests.jsonl").read_bytes() == build.jsonl(lines)
    assert len(build.batches_of(backend)) == 2
    assert report.batches[0] == batch.id


def test_several_batches_become_one_ordered_result(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"c": [500], "e-1": [429]}))
    chats = [build.chat(name) for name in "abc"]
    large = [build.chat("x", model="gpt-4o"), build.chat("y", model="gpt-4o")]
    embeddings = [build.embedding(f"e-{n}") for n in range(3)]
    make_batch(backend, build, chats, metadata={"project": "p", "part": "1"})
    make_batch(backend, build, [build.chat("other")], metadata={"project": "q"})
    make_batch(backend, build, large, metadata={"project": "p", "part": "2"})
    make_batch(backend, build, embeddings, "/v1/embeddings", metadata={"project": "p"})
    report = adopt(BatchFilter(metadata={"project": "p"}), backend, results=build.results)
    assert build.ids() == ["a", "b", "c", "x", "y", "e-0", "e-1", "e-2"]
    assert (report.ok, report.lines, report.resent) == (8, 8, 2)
    counts = build.times_sent(backend)
    assert counts == Counter({**dict.fromkeys(build.ids(), 1), "c": 2, "e-1": 2, "other": 1})


def test_a_batch_that_sent_lines_again_by_hand_is_a_later_round(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"b": [500], "c": [500, 400]}))
    lines = [build.chat(name) for name in "abc"]
    first = make_batch(backend, build, lines)
    backend.clock.sleep(2 * HOUR)
    second = make_batch(backend, build, lines[1:])
    backend.clock.sleep(2 * HOUR)
    report = adopt(
        BatchFilter(ids=[second.id, first.id, second.id]), backend, results=build.results
    )
    assert (report.ok, report.failed, report.lines, report.resent) == (2, 1, 3, 2)
    assert build.ids() == ["a", "b", "c"]
    assert [r["response"]["status_code"] for r in build.records()] == [200, 200, 400]
    assert len(build.batches_of(backend)) == 2, "nothing was left to send"


def test_a_good_result_is_never_replaced_and_the_later_one_is_kept_apart(build):
    answers = iter(["first a", "first b", "second a", "second b"])
    backend = FakeBackend(pacing="quick", responder=lambda request: next(answers))
    lines = [build.chat(name) for name in "ab"]
    batch = make_batch(backend, build, lines)
    backend.clock.sleep(HOUR)
    backend.retrieve_batch(batch.id)
    backend.create_batch(input_file_id=batch.input_file_id, endpoint=CHAT)
    backend.clock.sleep(HOUR)
    report = adopt(BatchFilter(input_file_id=batch.input_file_id), backend, results=build.results)
    texts = [r["response"]["body"]["choices"][0]["message"]["content"] for r in build.records()]
    assert texts == ["first a", "first b"]
    assert (report.ok, report.late, report.all_ok) == (2, 2, True)
    late = [json.loads(line) for line in (build.job / "late.jsonl").read_bytes().splitlines()]
    assert [line["custom_id"] for line in late] == ["a", "b"]
    assert len(build.batches_of(backend)) == 2, "the other batch over the file was not touched"


def test_with_an_input_of_ones_own_its_order_holds_and_unsent_lines_are_sent(build):
    backend = FakeBackend(pacing="quick")
    lines = [build.chat(f"id-{n}") for n in range(6)]
    one = make_batch(backend, build, [lines[4], lines[1]])
    two = make_batch(backend, build, [lines[3]])
    told = []
    report = adopt(
        BatchFilter(ids=[one.id, two.id]),
        backend,
        results=build.results,
        source=build.input(lines),
        announce=told.append,
    )
    assert build.ids() == [line["custom_id"] for line in lines]
    assert (report.ok, report.resent) == (6, 0)
    assert told[0].unsent == 3
    assert set(build.times_sent(backend).values()) == {1}


def test_an_input_that_is_gone_gives_the_results_in_the_order_of_the_output(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"id-3": [500]}))
    batch = make_batch(backend, build, [build.chat(f"id-{n}") for n in range(8)])
    backend.clock.sleep(HOUR)
    batch = backend.retrieve_batch(batch.id)
    backend.delete_file(batch.input_file_id)
    told = []
    report = adopt(
        BatchFilter(ids=[batch.id]), backend, results=build.results, announce=told.append
    )
    output = b"".join(backend.read_file(batch.output_file_id))
    error = b"".join(backend.read_file(batch.error_file_id))
    assert build.results.read_bytes() == output + error
    assert (report.ok, report.failed, report.rounds) == (7, 1, 0)
    assert told[0].unknown == (batch.id,)
    assert len(build.batches_of(backend)) == 1


def test_an_input_that_is_gone_can_be_given(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"id-3": [500]}))
    lines = [build.chat(f"id-{n}") for n in range(8)]
    batch = make_batch(backend, build, lines)
    backend.clock.sleep(HOUR)
    backend.delete_file(batch.input_file_id)
    report = adopt(
        BatchFilter(ids=[batch.id]), backend, results=build.results, source=build.input(lines)
    )
    assert build.ids() == [line["custom_id"] for line in lines]
    assert (report.ok, report.failed) == (7, 1)


def test_an_input_that_is_gone_while_the_batch_runs_is_waited_for(build):
    backend = FakeBackend(pacing=Pacing(running=5 * HOUR))
    batch = make_batch(backend, build, [build.chat("a")])
    backend.clock.sleep(HOUR)
    backend.retrieve_batch(batch.id)
    backend.delete_file(batch.input_file_id)
    with pytest.raises(JobIncomplete, match="has not ended"):
        adopt(BatchFilter(ids=[batch.id]), backend, results=build.results)
    backend.clock.sleep(9 * HOUR)
    assert adopt(BatchFilter(ids=[batch.id]), backend, results=build.results).all_ok


def assert_refused(build, backend, sought, match, **options):
    before = backend.list_batches().data
    with pytest.raises(UsageError, match=match):
        adopt(sought, backend, results=build.results, **options)
    assert backend.list_batches().data == before
    assert not build.results.exists()


def test_what_cannot_be_one_job_is_refused_and_nothing_is_sent(build, backend):
    one = make_batch(backend, build, [build.chat("a"), build.chat("b")])
    two = make_batch(backend, build, [build.chat("a", text="another request")])
    assert_refused(
        build, backend, BatchFilter(ids=[one.id, two.id]), "different requests with the custom_id"
    )
    assert_refused(build, backend, BatchFilter(ids=["batch_absent"]), "batch_absent")
    assert_refused(build, backend, BatchFilter(metadata={"no": "such"}), "there is no such batch")
    source = build.input([build.chat("a")])
    assert_refused(
        build,
        backend,
        BatchFilter(ids=[one.id]),
        "1 lines of the batches are not in",
        source=source,
    )
    with pytest.raises(InvalidInput, match="duplicate_custom_id"):
        adopt(
            BatchFilter(ids=[one.id]),
            backend,
            results=build.results,
            source=build.input([build.chat("a"), build.chat("b"), build.chat("a")]),
        )


def test_a_batch_of_a_job_of_ours_is_left_to_that_job(build, backend):
    run(build.input([build.chat("a")]), backend, results=build.folder / "first.jsonl")
    (batch,) = build.batches_of(backend)
    assert_refused(build, backend, BatchFilter(ids=[batch.id]), "job of batchsim's own")


def test_results_that_exist_are_not_overwritten(build, backend):
    batch = make_batch(backend, build, [build.chat("a")])
    build.results.write_text("precious")
    with pytest.raises(UsageError, match="belongs to no job"):
        adopt(BatchFilter(ids=[batch.id]), backend, results=build.results)
    assert build.results.read_text() == "precious"


@pytest.mark.slow
def test_killed_at_every_write_of_the_journal_nothing_is_made_twice(build, monkeypatch):
    append = Journal.append
    lines = [build.chat(f"id-{n}") for n in range(4)]
    for n in range(1, 200):
        results = build.folder / f"results-{n}.jsonl"
        backend = FakeBackend(seed=1, pacing="quick", responder=build.failing({"id-2": [500]}))
        batch = make_batch(backend, build, lines)
        writes = [0]

        def write(self, at, *entries, n=n, writes=writes, **options):
            writes[0] += 1
            append(self, at, *entries, **options)
            if writes[0] == n:
                raise build.Killed

        sought, policy = BatchFilter(ids=[batch.id]), Policy(on_unknown="fence", list_lag=30.0)
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", write)
            try:
                adopt(sought, backend, results=results, policy=policy)
                break
            except build.Killed:
                pass
        report = adopt(sought, backend, results=results, policy=policy)
        assert (report.ok, report.resent) == (4, 1)
        assert build.times_sent(backend) == {"id-0": 1, "id-1": 1, "id-2": 2, "id-3": 1}
    assert n > 10


def test_the_metadata_given_are_those_of_the_batches_that_are_sent(build):
    backend = FakeBackend(pacing="quick")
    lines = [build.chat(name) for name in "ab"]
    batch = make_batch(backend, build, lines[:1])
    report = adopt(
        BatchFilter(ids=[batch.id]),
        backend,
        results=build.results,
        source=build.input(lines),
        metadata={"night": "17"},
    )
    assert report.all_ok
    sent = next(each for each in build.batches_of(backend) if each.id != batch.id)
    assert sent.metadata["night"] == "17"
