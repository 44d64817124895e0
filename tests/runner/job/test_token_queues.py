"""The queues of models: their limits are learned, no create is wasted, and the pipe
is kept full.
"""

from __future__ import annotations

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing
from batchsim.domain.batches import Batch
from batchsim.domain.limits import HOUR, Limits
from batchsim.domain.lines import RequestLine
from batchsim.errors import JobIncomplete
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.runner.job.token_queues import KnownQueues, lines_queued, told_limit
from batchsim.runner.run import Policy, run

TEXT = "word " * 20
TOLD = (
    "Enqueued token limit reached for gpt-4o-mini in organization org-x. Limit: 2,000,000 enqueued "
    "tokens. Please try again once some in_progress batches have been completed."
)


def failed_batch(message, code="token_limit_exceeded"):
    error = {"code": code, "message": message}
    return Batch.from_object({"id": "batch_1", "status": "failed", "errors": {"data": [error]}})


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (TOLD, 2_000_000),
        ("Limit: 90000 enqueued tokens", 90_000),
        ("Limit: none", None),
        ("", None),
        ("Limit: " + "9" * 40, None),
    ],
)
def test_the_limit_is_read_from_the_words_of_the_refusal(message, limit):
    assert told_limit(failed_batch(message)) == limit


def test_other_errors_tell_no_limit():
    assert told_limit(failed_batch(TOLD, code="other")) is None


def test_the_queue_shows_the_lines_of_others():
    mine = Batch.from_object(
        {
            "id": "a",
            "status": "in_progress",
            "model": "gpt-4o-2024-08-06",
            "request_counts": {"total": 3},
        }
    )
    theirs = Batch.from_object({**mine.to_object(), "id": "b"})
    ended = Batch.from_object({**mine.to_object(), "id": "c", "status": "completed"})
    assert lines_queued([mine, theirs, ended], {"a"}) == {"gpt-4o": 3}


def input_of(build, count):
    return build.input([build.chat(f"id-{n}", text=TEXT) for n in range(count)])


def tokens_of_one(build):
    body = build.chat("id-0", text=TEXT)["body"]
    return estimate_prompt_tokens(
        RequestLine(1, "id-0", "/v1/chat/completions", body["model"], body)
    )


def backend_with_queue_for(build, lines, **options):
    limit = {"gpt-4o-mini": lines * tokens_of_one(build)}
    return FakeBackend(pacing="quick", limits=Limits(enqueued_tokens=limit), **options)


def test_ten_lines_under_an_unknown_limit_of_four_take_four_creates(build):
    """PEERS, fault table: the best of the others takes 14."""
    backend = backend_with_queue_for(build, 4)
    report = run(input_of(build, 10), backend, results=build.results)
    assert report.all_ok
    assert build.ids() == [f"id-{n}" for n in range(10)]
    statuses = [str(batch.status) for batch in build.batches_of(backend)]
    assert (statuses.count("completed"), statuses.count("failed")) == (3, 1)


def test_a_configured_limit_wastes_no_create(build):
    backend = backend_with_queue_for(build, 4)
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 4 * tokens_of_one(build)})
    report = run(input_of(build, 10), backend, results=build.results, limits=limits)
    assert report.all_ok
    assert len(build.batches_of(backend)) == 3


def test_what_one_job_learned_the_next_one_knows(build):
    backend, memory = backend_with_queue_for(build, 4), build.folder / "state" / "queues.json"
    policy = Policy(queue_memory=memory)
    source = input_of(build, 10)
    assert run(source, backend, results=build.folder / "one.jsonl", policy=policy).all_ok
    assert run(source, backend, results=build.folder / "two.jsonl", policy=policy).all_ok
    statuses = [str(batch.status) for batch in build.batches_of(backend)]
    assert (statuses.count("completed"), statuses.count("failed")) == (6, 1)
    assert memory.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"s a": 3}', b'{"s a": {"gpt": "x"}}'])
def test_a_memory_that_cannot_be_read_is_none(tmp_path, content):
    path = tmp_path / "queues.json"
    path.write_bytes(content)
    memory = KnownQueues(path, "s", "a")
    assert memory.read() == {}
    memory.learn({"gpt": 5})
    assert memory.read() == {"gpt": 5}
    assert KnownQueues(path, "s", "another").read() == {}


def test_the_pipe_is_kept_full(build):
    """Six shards of one line, room for two: as one ends, the next is created."""
    backend = FakeBackend(
        pacing=Pacing(validating=5, running=100, running_per_line=0, finalizing=0, spread=0),
        limits=Limits(enqueued_tokens={"gpt-4o-mini": 2 * tokens_of_one(build)}),
    )
    start = backend.clock.now()
    limits = Limits(requests_per_batch=1, enqueued_tokens={"gpt-4o-mini": 2 * tokens_of_one(build)})
    report = run(input_of(build, 6), backend, results=build.results, limits=limits)
    assert report.all_ok
    assert {str(batch.status) for batch in build.batches_of(backend)} == {"completed"}
    assert backend.clock.now() - start < 3 * 105 * 1.3


def test_tokens_of_others_are_waited_for(build):
    backend = backend_with_queue_for(build, 4)
    other = build.folder / "other.jsonl"
    other.write_bytes(build.jsonl([build.chat(f"other-{n}", text=TEXT) for n in range(3)]))
    with other.open("rb") as stream:
        file = backend.upload_file(stream, filename="other.jsonl")
    backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    report = run(input_of(build, 4), backend, results=build.results)
    assert report.all_ok
    assert len(build.batches_of(backend)) <= 4


def test_tokens_that_failed_batches_hold_for_a_while_are_waited_for(build):
    backend = backend_with_queue_for(build, 4, faults=Faults(tokens_held_for=300))
    report = run(input_of(build, 10), backend, results=build.results)
    assert report.all_ok
    assert len(build.batches_of(backend)) <= 10


def test_no_more_batches_an_hour_than_the_service_allows(build):
    backend = FakeBackend(pacing="quick", limits=Limits(batches_per_hour=3))
    start = backend.clock.now()
    limits = Limits(requests_per_batch=1, batches_per_hour=3)
    lossless = build.Interrupting(backend, lambda number, name: None)
    report = run(input_of(build, 7), lossless, results=build.results, limits=limits)
    assert report.all_ok
    assert lossless.calls.count("create_batch") == 7, "none was refused"
    assert backend.clock.now() - start >= 2 * HOUR


def test_killed_while_a_shard_is_divided_it_is_divided_once(build, monkeypatch):
    from batchsim.runner.journal import Journal
    from batchsim.runner.journal.shard_entries import Divided

    append = Journal.append
    for moment in ("before", "after"):
        killed = []

        def write(self, at, *entries, moment=moment, killed=killed, **options):
            is_it = any(isinstance(entry, Divided) for entry in entries) and not killed
            if is_it and moment == "before":
                killed.append(True)
                raise build.Killed
            append(self, at, *entries, **options)
            if is_it:
                killed.append(True)
                raise build.Killed

        backend, results = backend_with_queue_for(build, 4), build.folder / f"{moment}.jsonl"
        source = input_of(build, 10)
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", write)
            with pytest.raises(build.Killed):
                run(source, backend, results=results)
        assert run(source, backend, results=results).all_ok
        assert len(build.batches_of(backend)) == 4
        assert len(results.read_bytes().splitlines()) == 10


def test_a_queue_that_stays_full_leaves_the_lines_and_says_why(build):
    backend = backend_with_queue_for(build, 4)
    with pytest.raises(JobIncomplete):
        run(
            input_of(build, 4),
            build.Interrupting(backend, lambda n, name: None),
            results=build.results,
            policy=Policy(max_live=0),
        )
