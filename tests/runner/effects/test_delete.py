"""Files at the service are deleted only when asked, and only once their results are safe here."""

from __future__ import annotations

import io

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import DAY, HOUR, Limits
from batchsim.errors import JobIncomplete, OutcomeUnknown, Unavailable
from batchsim.runner.adoption.adopt import BatchFilter, adopt
from batchsim.runner.run import Policy, run

SWEEP = Policy(delete_remote=True)
CHAT = "/v1/chat/completions"


@pytest.fixture
def source(build):
    return build.input([build.chat(f"id-{n}") for n in range(4)])


def remaining_files(backend):
    return [file.filename for file in backend.list_files().data]


def test_nothing_is_deleted_unless_asked_and_everything_when_asked_later(build, source, backend):
    limits = Limits(requests_per_batch=2)
    report = run(source, backend, results=build.results, limits=limits)
    assert len(remaining_files(backend)) == 4
    again = run(source, backend, results=build.results, limits=limits, policy=SWEEP)
    assert remaining_files(backend) == []
    assert again == report
    silent = build.Interrupting(backend, lambda number, name: pytest.fail(f"it called {name}"))
    assert run(source, silent, results=build.results, limits=limits, policy=SWEEP) == report


def test_files_of_all_rounds_and_of_failed_batches_go_and_other_files_stay(build, source):
    codes = {"id-1": [500]}

    def answer(request):
        left_codes = codes.get(request.custom_id)
        return (left_codes.pop(0), {}) if left_codes else None

    backend = FakeBackend(
        pacing="quick", responder=answer, limits=Limits(enqueued_tokens={"gpt-4o-mini": 60})
    )
    backend.upload_file(io.BytesIO(b"{}"), filename="mine.jsonl")
    policy = Policy(delete_remote=True)
    limits = Limits(requests_per_batch=1)
    assert run(source, backend, results=build.results, limits=limits, policy=policy).all_ok
    assert remaining_files(backend) == ["mine.jsonl"]


def test_a_copy_that_is_damaged_here_keeps_the_one_at_the_service(build, source, backend):
    run(source, backend, results=build.results)
    copy = build.job / "shards" / "0001.output.jsonl"
    content = copy.read_bytes()
    copy.write_bytes(content[:-2] + b" \n")
    with pytest.raises(JobIncomplete, match="is not what was downloaded"):
        run(source, backend, results=build.results, policy=SWEEP)
    assert len(remaining_files(backend)) == 2
    copy.write_bytes(content)
    assert run(source, backend, results=build.results, policy=SWEEP).all_ok
    assert remaining_files(backend) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("error", [Unavailable("down"), OutcomeUnknown("lost"), None])
def test_deleting_survives_failures_and_kills(build, source, backend, moment, error):
    failure = error or build.Killed()
    deletes = [0]

    def fail(number, name):
        deletes[0] += name == "delete_file"
        return (moment, failure) if name == "delete_file" and deletes[0] == 2 else None

    flaky = build.Interrupting(backend, fail)
    try:
        run(source, flaky, results=build.results, policy=SWEEP)
    except build.Killed:
        run(source, flaky, results=build.results, policy=SWEEP)
    assert remaining_files(backend) == []


def test_what_others_made_stays_and_what_the_job_added_goes(build):
    codes = {"id-1": [500]}

    def answer(request):
        left_codes = codes.get(request.custom_id)
        return (left_codes.pop(0), {}) if left_codes else None

    backend = FakeBackend(pacing="quick", responder=answer)
    content = build.jsonl([build.chat(f"id-{n}") for n in range(3)])
    file = backend.upload_file(io.BytesIO(content), filename="theirs.jsonl")
    batch = backend.create_batch(input_file_id=file.id, endpoint=CHAT)
    report = adopt(BatchFilter(ids=[batch.id]), backend, results=build.results, policy=SWEEP)
    assert (report.all_ok, report.rounds) == (True, 1)
    ended = backend.retrieve_batch(batch.id)
    kept = {file.id for file in backend.list_files().data}
    assert kept == {file.id, ended.output_file_id, ended.error_file_id}


def test_progress_tells_when_results_expire_that_are_not_here(build, source, backend):
    def fail(number, name):
        return ("before", Unavailable("down")) if name == "read_file" else None

    seen = []
    with pytest.raises(JobIncomplete):
        run(
            source,
            build.Interrupting(backend, fail),
            results=build.results,
            observe=seen.append,
        )
    (batch,) = build.batches_of(backend)
    assert seen[-1].results_expire == batch.completed_at + 30 * DAY
    assert seen[0].results_expire is None
    run(source, backend, results=build.results, observe=seen.append)
    assert seen[-1].results_expire is None
    assert batch.completed_at < seen[-1].now < batch.completed_at + 5 * HOUR
