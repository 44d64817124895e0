"""The whole runner against the simulator: order, accounts, and what it refuses."""

from __future__ import annotations

import hashlib
import json

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing
from batchsim.domain.limits import HOUR, Limits
from batchsim.errors import InputError, JobIncomplete, JournalError, UsageError
from batchsim.runner.job import JobDirectory
from batchsim.runner.planning.plan import InvalidInput
from batchsim.runner.run import Policy, run


@pytest.mark.parametrize("per_batch", [1, 2, 5, 11, 100])
def test_results_are_in_input_order_whatever_the_number_of_shards(build, backend, per_batch):
    source = build.input([build.chat(f"id-{n}") for n in range(11)])
    report = run(
        source, backend, results=build.results, limits=Limits(requests_per_batch=per_batch)
    )
    assert build.ids() == [f"id-{n}" for n in range(11)]
    assert report.shards == -(-11 // per_batch)
    assert (report.lines, report.ok, report.all_ok) == (11, 11, True)


def test_the_service_did_shuffle_what_is_in_order(build, backend):
    source = build.input([build.chat(f"id-{n}") for n in range(20)])
    run(source, backend, results=build.results)
    output = (build.job / "shards" / "0001.output.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["custom_id"] for line in output] != build.ids()
    assert sorted(output) == sorted(build.results.read_bytes().splitlines())


def test_models_and_endpoints_may_be_mixed(build, backend):
    lines = []
    for n in range(4):
        lines += [
            build.chat(f"mini-{n}"),
            build.embedding(f"embedding-{n}", inputs=2),
            build.chat(f"large-{n}", model="gpt-4o"),
        ]
    report = run(build.input(lines), backend, results=build.results)
    assert build.ids() == [line["custom_id"] for line in lines]
    assert report.shards == 3
    batches = build.batches_of(backend)
    assert {batch.endpoint for batch in batches} == {"/v1/chat/completions", "/v1/embeddings"}
    assert report.all_ok


def test_request_bytes_reach_the_service_untouched(build, backend):
    content = (
        b'{"method": "POST",   "custom_id":"a\\u00e9","url":"/v1/chat/completions", '
        b'"body":{"seed":123456789012345678901234567890,"model":"gpt-4o","messages":[]}}\r\n'
        + build.jsonl([build.chat("日本語")]).replace(b"gpt-4o-mini", b"gpt-4o").rstrip(b"\n")
    )
    build.source.write_bytes(content)
    run(build.source, backend, results=build.results)
    (batch,) = build.batches_of(backend)
    assert b"".join(backend.read_file(batch.input_file_id)) == content + b"\n"
    assert build.ids() == ["aé", "日本語"]


def test_an_iterable_of_objects_text_and_bytes_is_an_input(build, backend):
    lines = [
        build.chat("object"),
        json.dumps(build.chat("text")),
        json.dumps(build.chat("bytes")).encode() + b"\n",
    ]
    assert run(iter(lines), backend, results=build.results).all_ok
    assert build.ids() == ["object", "text", "bytes"]


def test_one_iterable_item_is_one_line(build, backend):
    with pytest.raises(InputError, match="more than one line") as caught:
        run([json.dumps(build.chat("a"), indent=1)], backend, results=build.results)
    assert caught.value.line == 1


def test_lines_that_failed_are_passed_through_as_the_service_wrote_them(build):
    backend = FakeBackend(pacing="quick", faults=Faults(quota_after=3))
    report = run(
        build.input([build.chat(f"id-{n}") for n in range(8)]), backend, results=build.results
    )
    assert (report.ok, report.failed, report.all_ok) == (3, 5, False)
    errors = (build.job / "shards" / "0001.error.jsonl").read_bytes().splitlines()
    assert len(errors) == 5
    assert set(errors) <= set(build.results.read_bytes().splitlines())


def test_a_batch_that_expires_keeps_its_finished_half(build):
    pacing = Pacing(running=48 * HOUR, running_per_line=0, spread=0)
    backend = FakeBackend(pacing=pacing)
    source = build.input([build.chat(f"id-{n}") for n in range(10)])
    report = run(source, backend, results=build.results)
    assert build.ids() == [f"id-{n}" for n in range(10)]
    assert report.ok + report.expired == 10
    assert report.ok
    assert report.expired
    codes = {record["error"]["code"] for record in build.records() if record["error"]}
    assert codes == {"batch_expired"}


def test_a_batch_cancelled_elsewhere_keeps_its_finished_half(build):
    backend = FakeBackend(pacing=Pacing(running=1000, running_per_line=0))
    source = build.input([build.chat(f"id-{n}") for n in range(10)])

    def cancel_halfway(progress):
        if progress.done >= 4 and progress.batches.get("in_progress"):
            backend.cancel_batch(build.batches_of(backend)[0].id)

    report = run(source, backend, results=build.results, observe=cancel_halfway)
    assert report.ok >= 4
    assert report.ok + report.cancelled == 10
    assert [record["error"]["code"] for record in build.records() if record["error"]] == [
        "batch_cancelled"
    ] * report.cancelled


def test_the_lines_of_a_failed_batch_say_what_the_service_said(build):
    backend = FakeBackend(pacing="quick", supports=lambda model: model != "gpt-4o")
    lines = [build.chat("a"), build.chat("b", model="gpt-4o"), build.chat("c")]
    report = run(build.input(lines), backend, results=build.results)
    assert (report.ok, report.failed) == (2, 1)
    error = build.records()[1]["error"]
    assert error["code"] == "model_not_found"
    assert "gpt-4o" in error["message"]


def test_lines_that_the_service_did_not_name_share_the_batch_error(build):
    backend = FakeBackend(pacing="quick", limits=Limits(requests_per_batch=2))
    source = build.input([build.chat(f"id-{n}") for n in range(3)])
    report = run(source, backend, results=build.results)
    assert report.failed == 3
    assert {record["error"]["code"] for record in build.records()} == {"batch_failed"}
    assert "too_many_tasks" in build.records()[0]["error"]["message"]


def test_row_134_lost_doubled_and_blank_lines_are_accounted_for(build):
    backend = FakeBackend(
        seed=3, pacing="quick", faults=Faults(lost_lines=0.2, doubled_lines=0.2, blank_lines=0.2)
    )
    source = build.input([build.chat(f"id-{n}") for n in range(40)])
    report = run(source, backend, results=build.results, policy=Policy(retries=0, accept_lost=True))
    assert build.ids() == [f"id-{n}" for n in range(40)]
    assert report.missing
    assert report.failed
    assert report.quarantined
    assert report.ok + report.missing + report.failed == 40
    missing = [r for r in build.records() if r["error"] and r["error"]["code"] == "result_missing"]
    assert len(missing) == report.missing
    quarantine = (build.job / "shards" / "0001.quarantine.jsonl").read_bytes().splitlines()
    assert len(quarantine) == report.quarantined


def test_row_084_result_ids_that_come_late_are_waited_for(build):
    backend = FakeBackend(pacing="quick", faults=Faults(result_ids_late_by=95))
    report = run(build.input([build.chat("a")]), backend, results=build.results)
    assert report.all_ok


def test_result_ids_that_never_come_leave_missing_lines(build):
    backend = FakeBackend(pacing="quick", faults=Faults(result_ids_late_by=30 * HOUR))
    giving_up = Policy(accept_lost=True, retries=0)
    report = run(build.input([build.chat("a")]), backend, results=build.results, policy=giving_up)
    assert (report.missing, report.ok) == (1, 0)
    assert report.seconds < HOUR


def test_usage_is_summed_over_the_lines_that_ran_well(build, backend):
    report = run(
        build.input([build.chat(f"{n}") for n in range(5)]), backend, results=build.results
    )
    bodies = [record["response"]["body"]["usage"] for record in build.records()]
    assert report.usage.input_tokens == sum(body["prompt_tokens"] for body in bodies) > 0
    assert report.usage.output_tokens == sum(body["completion_tokens"] for body in bodies) > 0


def test_a_bad_input_is_refused_whole_and_leaves_no_trace(build, backend):
    lines = [build.chat("a"), build.chat("a"), {**build.chat("b"), "method": "GET"}]
    with pytest.raises(InvalidInput) as caught:
        run(build.input(lines), backend, results=build.results)
    assert caught.value.place == f"{build.source}:2"
    assert caught.value.count == 2
    assert [error.line for error in caught.value.errors] == [2, 3]
    assert [path.name for path in build.folder.iterdir()] == ["input.jsonl"]
    assert not backend.list_files().data


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"[]\n"])
def test_an_input_without_requests_is_refused(build, backend, content):
    build.source.write_bytes(content)
    with pytest.raises(InputError):
        run(build.source, backend, results=build.results)


def test_a_missing_input_is_refused(build, backend):
    with pytest.raises(InputError):
        run(build.folder / "absent.jsonl", backend, results=build.results)


def test_results_of_something_else_are_not_overwritten(build, backend):
    build.results.write_text("mine")
    with pytest.raises(UsageError, match="belongs to no job"):
        run(build.input([build.chat("a")]), backend, results=build.results)
    assert build.results.read_text() == "mine"


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"bs_run": "x"}, "is ours"),
        ({f"key{n}": "" for n in range(11)}, "room for 10"),
        ({"k" * 65: ""}, "too long"),
        ({"key": "v" * 513}, "too long"),
        ({"key": 5}, "is not text"),
        ({5: "value"}, "is not text"),
        ({"key": "\ud800"}, "is not text"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(build, backend, metadata, complaint):
    with pytest.raises(UsageError, match=complaint):
        run(build.input([build.chat("a")]), backend, results=build.results, metadata=metadata)


@pytest.mark.parametrize("requests", [{"custom_id": "a"}, b"{}", 5, None])
def test_what_is_neither_a_path_nor_lines_is_refused(build, backend, requests):
    with pytest.raises(UsageError, match=f"but one {type(requests).__name__}"):
        run(requests, backend, results=build.results)


def test_metadata_of_the_user_and_of_the_job_reach_the_batch(build, backend):
    metadata = {f"key{n}": "value" for n in range(10)}
    run(build.input([build.chat("a")]), backend, results=build.results, metadata=metadata)
    (batch,) = build.batches_of(backend)
    assert metadata.items() <= batch.metadata.items()
    assert batch.metadata["bs_shard"] == "1/1"
    assert batch.metadata["bs_try"] == "0"
    assert batch.metadata["bs_round"] == "0"
    assert batch.metadata["bs_v"] == "1"
    assert len(batch.metadata["bs_run"]) == 32
    job = batch.metadata["bs_job"]
    (file,) = backend.list_files(purpose="batch").data
    content = hashlib.sha256(build.source.read_bytes()).hexdigest()
    site = JobDirectory(build.job).site
    assert file.filename == f"bs-{job[:12]}-r0-s0001-t0-{content[:16]}-{site}.jsonl"


def test_a_finished_job_run_again_does_nothing_remotely(build, backend):
    source = build.input([build.chat(f"id-{n}") for n in range(5)])
    limits = Limits(requests_per_batch=2)
    report = run(source, backend, results=build.results, limits=limits)
    content = build.results.read_bytes()
    silent = build.Interrupting(backend, lambda number, name: pytest.fail(f"it called {name}"))
    assert run(source, silent, results=build.results, limits=limits) == report
    build.results.unlink()
    assert run(source, silent, results=build.results, limits=limits) == report
    assert build.results.read_bytes() == content
    build.results.write_bytes(content[:-9])
    assert run(source, silent, results=build.results, limits=limits) == report
    assert build.results.read_bytes() == content


def test_an_input_that_changed_is_refused(build, backend):
    lines = [build.chat("a"), build.chat("b")]
    run(build.input(lines), backend, results=build.results)
    same_size = build.source.read_bytes().replace(b"hello", b"hullo")
    longer = same_size + build.jsonl([build.chat("c")])
    for content, difference in (
        (same_size, "a line from 1 to 2 is another"),
        (longer, f"it has {len(longer):,} bytes and had {len(same_size):,}"),
    ):
        build.source.write_bytes(content)
        with pytest.raises(JournalError, match=f"has changed since the job began: {difference}"):
            run(build.source, backend, results=build.results)


def test_an_input_that_changes_under_way_is_noticed_before_a_batch_is_made(build, backend):
    source = build.input([build.chat("a")])

    def change(progress):
        if progress.message.startswith("uploading"):
            source.write_bytes(source.read_bytes().replace(b"hello", b"hullo"))

    with pytest.raises(JournalError, match="has changed"):
        run(source, backend, results=build.results, observe=change)
    assert not build.batches_of(backend)


def test_a_second_runner_is_refused_and_told_of_the_first(build, backend):
    source = build.input([build.chat("a")])
    refusals = []

    def start_another(progress):
        if not refusals:
            with pytest.raises(JournalError, match="another runner") as caught:
                run(source, backend, results=build.results)
            refusals.append(caught.value.message)

    assert run(source, backend, results=build.results, observe=start_another).all_ok
    assert "process" in refusals[0]
    assert len(build.batches_of(backend)) == 1


def test_a_job_rehearsed_on_one_service_is_not_continued_on_another(build, backend):
    source = build.input([build.chat("a")])
    run(source, backend, results=build.results)
    other = FakeBackend()
    other.service = "https://api.openai.com/v1/"
    with pytest.raises(JournalError, match="was begun on the simulator and cannot go on at https"):
        run(source, other, results=build.results)


def test_a_job_directory_that_cannot_be_made_stops_the_job(build, backend):
    blocked = build.folder / "file"
    blocked.write_text("")
    with pytest.raises(JobIncomplete, match="Not a directory"):
        run(build.input([build.chat("a")]), backend, results=build.results, job=blocked / "job")


def test_no_more_shards_are_live_than_the_policy_allows(build, backend):
    source = build.input([build.chat(f"id-{n}") for n in range(7)])
    most = []
    report = run(
        source,
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=1),
        policy=Policy(max_live=2),
        observe=lambda progress: most.append(
            sum(n for status, n in progress.batches.items() if status != "completed")
        ),
    )
    assert report.all_ok
    assert max(most) == 2


def test_the_queue_of_a_model_is_not_overfilled(build):
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 60})
    backend = FakeBackend(pacing="quick", limits=limits)
    source = build.input([build.chat(f"id-{n}", text="word " * 20) for n in range(6)])
    report = run(source, backend, results=build.results, limits=limits)
    assert report.all_ok
    assert report.shards > 1
    assert {str(batch.status) for batch in build.batches_of(backend)} == {"completed"}


def test_a_full_queue_is_waited_for_with_another_batch(build):
    backend = FakeBackend(pacing="quick", limits=Limits(enqueued_tokens={"gpt-4o-mini": 60}))
    source = build.input([build.chat(f"id-{n}", text="word " * 20) for n in range(4)])
    report = run(source, backend, results=build.results, limits=Limits(requests_per_batch=1))
    assert report.all_ok
    statuses = [str(batch.status) for batch in build.batches_of(backend)]
    assert statuses.count("completed") == 4
    assert "failed" in statuses
    files = [batch.input_file_id for batch in build.batches_of(backend)]
    assert len(files) == len(set(files)), "a file was used for two batches"


def test_a_queue_that_never_empties_ends_in_records(build):
    backend = FakeBackend(pacing="quick", limits=Limits(enqueued_tokens={"gpt-4o-mini": 1}))
    report = run(build.input([build.chat("a")]), backend, results=build.results)
    assert report.failed == 1
    assert "token_limit_exceeded" in build.records()[0]["error"]["message"]
    assert len(build.batches_of(backend)) == 1, "a line that no queue can hold is asked for once"


def test_progress_counts_up_to_all_lines(build, backend):
    seen = []
    run(
        build.input([build.chat(f"id-{n}") for n in range(6)]),
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=3),
        observe=seen.append,
    )
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert (seen[-1].done, seen[-1].lines, seen[-1].failed) == (6, 6, 0)
    assert seen[-1].batches == {"completed": 2}
    assert {each.started for each in seen} == {seen[0].now}
    assert seen[-1].message == "the results are written"


def test_other_metadata_than_the_job_began_with_are_refused(build, backend):
    source, options = build.input([build.chat("a")]), {"results": build.results}
    first = run(source, backend, metadata={"night": "17"}, **options)
    assert run(source, backend, **options) == first, "none given: those of the job"
    with pytest.raises(UsageError, match=r"its metadata are .*17.*, not .*18"):
        run(source, backend, metadata={"night": "18"}, **options)
