"""Collecting: whatever a service writes, every line ends in exactly one account, in its place."""

from __future__ import annotations

import itertools
import json
import os

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend, Faults, Pacing
from batchsim.domain.batches import BatchError, Usage
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR, Limits
from batchsim.errors import JobIncomplete, JournalError
from batchsim.runner.job import JobDirectory, ShardState
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Downloaded, FileGone, Source
from batchsim.runner.policy import Policy, Polling
from batchsim.runner.results import result_lines
from batchsim.runner.results.assemble import assemble
from batchsim.runner.results.collect import collect
from batchsim.runner.run import run
from tests.sample_batches import sample_batch


def result_line(custom_id, status=200, usage=None):
    body = {"usage": usage} if usage else {}
    response = {"status_code": status, "request_id": "r", "body": body}
    line = {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(line).encode()


def line_that_never_ran(custom_id, code):
    error = {"code": code, "message": "words"}
    line = {"id": "batch_req_1", "custom_id": custom_id, "response": None, "error": error}
    return json.dumps(line).encode()


@pytest.fixture
def collect_results(build):
    """Collect and assemble one shard with the lines a, b, c from given result files."""
    directory = JobDirectory(build.job)

    def collect_results(output=None, error=None, status=Status.COMPLETED, errors=(), gone=()):
        (plan,) = build.plan_of([build.chat(name) for name in "abc"], build.source).shards
        directory.file(1, Source.OUTPUT).parent.mkdir(parents=True, exist_ok=True)
        files = list(gone)
        for source, content in ((Source.OUTPUT, output), (Source.ERROR, error)):
            if content is not None:
                directory.file(1, source).write_bytes(content)
                files.append(Downloaded(shard=1, source=source, file_id="f", bytes=0, sha256=""))
        batch = sample_batch(status=status, errors=errors)
        shard = ShardState(plan, batch=batch, files=tuple(files))
        tally = collect(shard, "abc", directory).tally
        size, counted, _ = assemble([plan], directory, build.results, lines=3, batches={})
        assert (counted.ok, counted.lines) == (tally.ok, 3)
        lines = build.results.read_bytes().splitlines()
        assert size == build.results.stat().st_size
        assert [json.loads(line)["custom_id"] for line in lines] == ["a", "b", "c"]
        assert tally.lines == 3
        quarantine = directory.quarantine(1)
        apart = quarantine.read_bytes().splitlines() if quarantine.exists() else []
        assert len(apart) == tally.quarantined
        return lines, tally, apart

    return collect_results


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_any_order_is_restored_byte_for_byte(collect_results, order):
    lines, tally, _ = collect_results(b"".join(result_line(name) + b"\n" for name in order))
    assert lines == [result_line(name) for name in "abc"]
    assert tally == Tally(ok=3)


def test_output_and_error_file_are_merged(collect_results):
    error = result_line("b", 400) + b"\n"
    lines, tally, _ = collect_results(result_line("c") + b"\n" + result_line("a") + b"\n", error)
    assert lines == [result_line("a"), result_line("b", 400), result_line("c")]
    assert tally == Tally(ok=2, failed=1)


def test_lines_that_never_ran_have_their_own_accounts(collect_results):
    error = [
        line_that_never_ran("a", "batch_expired"),
        line_that_never_ran("b", "batch_cancelled"),
        line_that_never_ran("c", "x"),
    ]
    lines, tally, _ = collect_results(None, b"\n".join(error))
    assert lines == error
    assert tally == Tally(expired=1, cancelled=1, failed=1)


NOT_UTF8 = result_line("b").replace(b"batch_req_1", b"\xff")
CONTROL = result_line("b").replace(b"batch_req_1", b"\x01")
FIRST, SECOND = result_line("a", usage={"prompt_tokens": 1}), result_line("a", 500)


@pytest.mark.parametrize(
    ("output", "error", "apart"),
    [
        pytest.param([FIRST, SECOND], [], [SECOND], id="twice in one file"),
        pytest.param([FIRST, FIRST], [], [FIRST], id="the same twice"),
        pytest.param([FIRST], [SECOND], [SECOND], id="in both files"),
        pytest.param([FIRST, result_line("A")], [], [result_line("A")], id="foreign by case"),
        pytest.param([FIRST, result_line("é")], [], [result_line("é")], id="foreign"),
        pytest.param([FIRST, b"{"], [], [b"{"], id="not JSON"),
        pytest.param([FIRST, b"[" * 100_000], [], [b"[" * 100_000], id="bottomless"),
        pytest.param([FIRST, b"\xff"], [], [b"\xff"], id="not UTF-8"),
        pytest.param([FIRST, NOT_UTF8], [], [NOT_UTF8], id="not UTF-8 in what nobody reads"),
        pytest.param([FIRST, CONTROL], [], [CONTROL], id="a control character in a string"),
        pytest.param([FIRST, b"null"], [], [b"null"], id="not an object"),
        pytest.param([FIRST, b'{"id": "x"}'], [], [b'{"id": "x"}'], id="no custom_id"),
        pytest.param([FIRST, SECOND[:-9]], [], [SECOND[:-9]], id="cut"),
        pytest.param([FIRST, b"", b" ", b"\r"], [], [], id="blank lines"),
    ],
)
def test_the_first_good_line_wins_and_nothing_is_lost(collect_results, output, error, apart):
    lines, tally, quarantined = collect_results(b"\n".join(output), b"\n".join(error))
    assert lines[0] == FIRST
    assert quarantined == apart
    assert (tally.ok, tally.missing) == (1, 2)


HARMLESS = [
    lambda line: line,
    lambda line: line.replace(b'"error": null', b'"error": {}'),
    lambda line: line.replace(b"200", b'"200"'),
    lambda line: line.replace(b"200", b"201"),
    lambda line: line.replace(b'"body": {', b'"body": {"text": "\xc3\xa9\xe2\x82\xac", '),
    lambda line: line.replace(b'"body": {', b'"body": {"text": "\\ud800", '),
    lambda line: line.replace(b'"body": {', b'"body": {"x": 1e999, '),
    lambda line: line.replace(b'"body": {', b'"body": {"usage": null, '),
    lambda line: line.replace(b'"custom_id"', b'"custom_id": "z", "custom_id"'),
    lambda line: line.replace(b": ", b":").replace(b", ", b","),
    lambda line: b"  " + line + b" \t\r",
]


@pytest.mark.parametrize("spelt", HARMLESS)
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 5, "completion_tokens": 2},
        {"prompt_tokens": 5.0, "completion_tokens": 2},
        {"prompt_tokens": None, "input_tokens": 9, "completion_tokens": 2},
        {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": -1}},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}},
        "text",
    ],
)
def test_the_short_way_and_the_long_way_agree(collect_results, spelt, usage, monkeypatch):
    line = spelt(result_line("b", usage=usage))
    content = b"\n".join([result_line("a"), line, result_line("c")])
    lines, tally, apart = collect_results(content)
    monkeypatch.setattr(result_lines, "decode", orjson.loads)  # of which nothing is usual
    monkeypatch.setattr(result_lines, "NOT_USUAL", (AttributeError, ValueError))
    assert collect_results(content) == (lines, tally, apart)
    assert (tally.ok, lines[1], apart) == (3, line.rstrip(), [])


@pytest.mark.parametrize("length", [1, 3_000, 600_000])
def test_stretches_of_any_size_come_back_whole(collect_results, length):
    def long(name):
        return result_line(name).replace(b"batch_req_1", name.encode() * length)

    lines, _, _ = collect_results(b"\n".join([long("c"), long("a"), b"x" * 9_000_000, long("b")]))
    assert lines == [long(name) for name in "abc"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf"])
def test_an_error_file_may_be_empty(collect_results, content):
    _, tally, _ = collect_results(b"\n".join(map(result_line, "abc")), content)
    assert tally == Tally(ok=3)


def test_line_ends_and_byte_order_marks_of_compatible_services_do_not_matter(collect_results):
    lines, tally, _ = collect_results(
        b"\xef\xbb\xbf" + b"\r\n".join(map(result_line, "abc")) + b"\r\n"
    )
    assert lines == [result_line(name) for name in "abc"]
    assert tally == Tally(ok=3)


@pytest.mark.parametrize(
    "line",
    [
        b'{"custom_id": "b", "response": {"status_code": 0, "body": null}, "error": null}',
        b'{"custom_id": "b", "response": {"status_code": "200x", "body": {}}, "error": null}',
        b'{"custom_id": "b", "response": {"status_code": 999, "body": "text"}}',
        b'{"custom_id": "b", "response": null, "error": null}',
        b'{"custom_id": "b"}',
        b'{"custom_id": "b", "response": {"status_code": 200}, "error": {"code": "x"}}',
        b'{"custom_id": "b", "error": "text"}',
    ],
)
def test_odd_lines_are_carried_as_they_are_and_count_as_failed(collect_results, line):
    lines, tally, _ = collect_results(b"\n".join([result_line("a"), line, result_line("c")]))
    assert lines[1] == line
    assert tally == Tally(ok=2, failed=1)


def test_an_answer_with_a_nan_is_still_an_answer(collect_results):
    line = b'{"custom_id": "b", "response": {"status_code": 200, "body": {"x": NaN}}}'
    lines, tally, _ = collect_results(b"\n".join([result_line("a"), line, result_line("c")]))
    assert lines[1] == line
    assert tally.ok == 3


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (Status.COMPLETED, "result_missing", Tally(missing=3)),
        (Status.EXPIRED, "batch_expired", Tally(expired=3)),
        (Status.CANCELLED, "batch_cancelled", Tally(cancelled=3)),
        (Status.FAILED, "batch_failed", Tally(failed=3)),
    ],
)
def test_lines_without_a_result_get_a_record_in_the_same_format(
    collect_results, status, code, expected
):
    lines, tally, _ = collect_results(status=status)
    assert tally == expected
    for line, custom_id in zip(lines, "abc", strict=True):
        record = json.loads(line)
        assert list(record) == ["id", "custom_id", "response", "error"]
        assert (record["id"], record["response"]) == (None, None)
        assert record["custom_id"] == custom_id
        assert record["error"]["code"] == code


def test_errors_of_a_failed_batch_reach_the_lines_that_they_name(collect_results):
    errors = (
        BatchError("invalid_json_line", "This line is not parseable.", None, 2),
        BatchError("second", "about the same line", None, 2),
        BatchError("empty_file", "about none", None, None),
    )
    lines, _, _ = collect_results(status=Status.FAILED, errors=errors)
    said = [json.loads(line)["error"] for line in lines]
    assert said[1] == {"code": "invalid_json_line", "message": "This line is not parseable."}
    assert said[0] == said[2]
    assert "empty_file: about none" in said[0]["message"]


def test_a_result_file_that_is_gone_is_named_in_the_records(collect_results):
    gone = FileGone(shard=1, source=Source.OUTPUT, file_id="file-1", reason="No such File object")
    lines, tally, _ = collect_results(gone=[gone])
    assert tally == Tally(missing=3)
    assert "No such File object" in json.loads(lines[0])["error"]["message"]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(5, 7, 2, 3),
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(5, 7, 2, 3),
        ),
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5)),
        ({"prompt_tokens": "5", "completion_tokens": None, "prompt_tokens_details": None}, Usage()),
        ("text", Usage()),
    ],
)
def test_usage_is_read_as_each_endpoint_writes_it(collect_results, usage, expected):
    _, tally, _ = collect_results(
        b"\n".join([result_line("a", usage=usage), result_line("b", 400, usage=usage)])
    )
    assert tally.usage == expected


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no such advice")
def test_a_result_file_is_read_ahead_before_its_lines_are_read_in_any_order(
    collect_results, build, monkeypatch
):
    collect_results(b"\n".join(map(result_line, "cab")))
    directory = JobDirectory(build.job)
    (plan,) = build.plan_of([build.chat(name) for name in "abc"], build.source).shards
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *advice: asked.append(advice[1:]))
    monkeypatch.setattr("batchsim.jsonl._AHEAD", 100)
    assemble([plan], directory, build.results, lines=3, batches={})
    size = directory.file(1, Source.OUTPUT).stat().st_size
    assert asked == [(start, 100, os.POSIX_FADV_WILLNEED) for start in range(0, size, 100)]


@pytest.mark.parametrize("order", ["abc", "cab"])
def test_a_result_file_that_ends_early_is_never_half_copied(collect_results, build, order):
    collect_results(b"\n".join(map(result_line, order)))
    directory = JobDirectory(build.job)
    (plan,) = build.plan_of([build.chat(name) for name in "abc"], build.source).shards
    build.results.write_bytes(b"as it was")
    output = directory.file(1, Source.OUTPUT)
    output.write_bytes(output.read_bytes()[:-1])
    with pytest.raises(JournalError, match="lacks results of shard 1: a result file ends early"):
        assemble([plan], directory, build.results, lines=3, batches={})
    assert build.results.read_bytes() == b"as it was"


def test_a_job_directory_that_lost_its_results_says_so(collect_results, build):
    collect_results(b"\n".join(map(result_line, "abc")))
    directory = JobDirectory(build.job)
    (plan,) = build.plan_of([build.chat(name) for name in "abc"], build.source).shards
    for lost in (directory.file(1, Source.OUTPUT), directory.index(1)):
        build.results.write_bytes(b"as it was")
        lost.unlink()
        with pytest.raises(JournalError, match="lacks results of shard 1"):
            assemble([plan], directory, build.results, lines=3, batches={})
        assert build.results.read_bytes() == b"as it was"


def test_row_141_a_download_cut_anywhere_is_fetched_again(build, backend):
    source = build.input([build.chat(name) for name in "abc"])
    whole = []

    class Cutting(build.Interrupting):
        cuts = 0

        def read_file(self, file_id):
            content = b"".join(self.inner.read_file(file_id))
            whole.append(content)
            self.cuts += 1
            yield content[: len(content) * self.cuts // 5]

    assert run(source, Cutting(backend, lambda *call: None), results=build.results).all_ok
    assert len(whole) == 5
    assert (build.job / "shards" / "0001.output.jsonl").read_bytes() == whole[0]


def test_result_files_that_expired_become_missing_lines(build):
    backend = FakeBackend(pacing="quick")
    source = build.input([build.chat(name) for name in "abc"])

    def sleep_for_two_months(progress):
        if progress.message.endswith("completed"):
            backend.clock.sleep(60 * 24 * HOUR)

    with pytest.raises(JobIncomplete, match="the service counts 3 as completed, its files hold 0"):
        run(source, backend, results=build.results, observe=sleep_for_two_months)
    assert len(build.batches_of(backend)) == 1, "what was paid is not sent again"
    giving_up = Policy(accept_lost=True, retries=0)
    report = run(source, backend, results=build.results, policy=giving_up)
    assert (report.missing, report.ok) == (3, 0)


@settings(max_examples=40)
@given(
    models=st.lists(st.sampled_from(["gpt-4o", "gpt-4o-mini", "o3"]), min_size=1, max_size=25),
    per_batch=st.integers(1, 9),
    seed=st.integers(0, 1_000),
    shares=st.tuples(*[st.sampled_from([0.0, 0.0, 0.1, 0.5])] * 3),
    quota=st.none() | st.integers(0, 5),
    hours=st.sampled_from([0.01, 0.01, 20, 48]),
    rejected=st.sampled_from([None, "o3"]),
)
def test_any_mixture_gives_one_record_per_line_in_order(
    build, models, per_batch, seed, shares, quota, hours, rejected
):
    lost, doubled, blank = shares
    backend = FakeBackend(
        seed=seed,
        pacing=Pacing(running=hours * HOUR, running_per_line=0),
        faults=Faults(lost_lines=lost, doubled_lines=doubled, blank_lines=blank, quota_after=quota),
        supports=lambda model: model != rejected,
    )
    lines = [build.chat(f"id {n} é", model=model) for n, model in enumerate(models)]
    results = build.folder / f"{len(list(build.folder.iterdir()))}.jsonl"
    report = run(
        build.input(lines),
        backend,
        results=results,
        limits=Limits(requests_per_batch=per_batch),
        policy=Policy(polling=Polling(slowest=7_200.0), accept_lost=True),
    )
    records = [json.loads(line) for line in results.read_bytes().splitlines()]
    assert [record["custom_id"] for record in records] == [line["custom_id"] for line in lines]
    assert report.lines == len(lines)
    ok = sum(bool(r["response"]) and r["response"]["status_code"] == 200 for r in records)
    assert report.ok == ok
    accounts = report.failed + report.expired + report.cancelled + report.missing
    assert report.ok + accounts == report.lines
