"""What a runner must hold to be trusted: twelve points, and the figures of five faults.

Other runners were measured on the same five faults with ten requests; the best of them needed 14
creates under a limit of four. Points that need more than a moment have larger twins: kills in
test_every_operation and kill_runs, memory in soak, the cap in runner/schedule/test_budget.
"""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import pytest

from batchsim.backends.fake import FakeBackend, Faults, LineFault, Pacing, RequestFault
from batchsim.domain.limits import HOUR, Limits
from batchsim.domain.lines import RequestLine
from batchsim.domain.validation.batch_errors import INPUT_ERRORS
from batchsim.errors import JournalError
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.runner.job import Stage, fold
from batchsim.runner.journal import AnomalyKind, JournalReader
from batchsim.runner.run import Policy, run
from batchsim.runner.schedule.budget import balance

TEN = [f"id-{n}" for n in range(10)]
ONE_EACH = Limits(requests_per_batch=1)
PAIRS = Limits(requests_per_batch=2)
CAP_FOR_TWO = Decimal("0.00009")
"""US dollars: what two of the lines may cost at most, and not three."""


@pytest.fixture
def ten_lines(build):
    return build.input([build.chat(name) for name in TEN])


def count_creates(backend):
    """How many creates the service saw."""
    return sum(each.times for each in backend.requests.entries() if each.call == "create_batch")


def test_point_01_killed_after_every_request_there_is_one_batch_per_shard(build):
    names = TEN[:4]
    source = build.input([build.chat(name) for name in names])
    for n in itertools.count(1):
        backend, results = FakeBackend(seed=1, pacing="quick"), build.folder / f"{n}.jsonl"
        kill = lambda number, name, n=n: ("after", build.Killed()) if number == n else None  # noqa: E731
        killable = build.Interrupting(backend, kill)
        try:
            run(source, killable, results=results, limits=PAIRS)
            break
        except build.Killed:
            assert run(source, backend, results=results, limits=PAIRS).all_ok
        assert set(build.batches_by_shard(backend).values()) == {1}
        assert len(build.batches_of(backend)) == count_creates(backend) == 2
        assert results.read_bytes() == build.service_lines(backend, names)
    assert n > 8


def test_point_02_a_create_whose_answer_is_lost_makes_one_batch_without_a_person(build, ten_lines):
    """Fault table, "answer to create lost": 1, automatic."""
    lost = RequestFault("reply_lost", call="create_batch", nth=1)
    backend = FakeBackend(pacing="quick", faults=Faults(requests=(lost,)))
    assert run(ten_lines, backend, results=build.results).all_ok
    assert (count_creates(backend), len(build.batches_of(backend))) == (1, 1)


def test_points_01_and_02_killed_inside_the_create_the_next_run_finds_its_batch(build, ten_lines):
    """Fault table, "kill -9 inside create, then rerun": 1, automatic."""
    backend = FakeBackend(pacing="quick")
    kill = lambda number, name: ("after", build.Killed()) if name == "create_batch" else None  # noqa: E731
    with pytest.raises(build.Killed):
        run(ten_lines, build.Interrupting(backend, kill), results=build.results)
    assert run(ten_lines, backend, results=build.results).all_ok
    assert (count_creates(backend), len(build.batches_of(backend))) == (1, 1)
    assert build.ids() == TEN


def test_point_03_an_expired_batch_keeps_its_half_and_the_rest_is_sent_again(build, ten_lines):
    """Fault table, "batch expires, half done": 10/10, resending 5."""
    backend = FakeBackend(pacing=Pacing(running=0, running_per_line=4.5 * HOUR, spread=0))
    report = run(ten_lines, backend, results=build.results)
    assert (report.ok, report.lines) == (10, 10)
    assert sorted((build.times_sent(backend) - Counter(TEN)).values()) == [1] * 5
    assert report.resent == 5


def test_point_04_of_ten_lines_of_which_two_fail_two_are_sent_again(build, ten_lines):
    """Fault table, "1 row in 5 fails (500)": 10/10, resending 2."""
    backend = FakeBackend(pacing="quick", responder=build.failing({"id-3": [500], "id-8": [500]}))
    report = run(ten_lines, backend, results=build.results)
    assert (report.ok, report.resent) == (10, 2)
    assert (build.times_sent(backend) - Counter(TEN)) == Counter({"id-3": 1, "id-8": 1})


@pytest.mark.parametrize("times", [0, 1, 3])
def test_point_04_a_line_that_always_fails_is_sent_again_so_often_and_no_more(
    build, ten_lines, times
):
    error = {"error": {"message": "The server had an error", "code": "server_error"}}
    backend = FakeBackend(
        pacing="quick",
        responder=lambda request: (500, error) if request.custom_id == "id-3" else "a",
    )
    report = run(ten_lines, backend, results=build.results, policy=Policy(retries=times))
    assert (report.ok, report.failed) == (9, 1)
    assert (build.times_sent(backend) - Counter(TEN)) == Counter({"id-3": times})


def test_point_05_under_a_limit_of_four_requests_ten_take_fewer_than_14_creates(build):
    """Fault table, "queue limit 4 requests": 10/10 with fewer creates than the best
    of the others.
    """
    lines = [build.chat(name, text="word " * 20) for name in TEN]
    body = lines[0]["body"]
    tokens = estimate_prompt_tokens(
        RequestLine(1, "id-0", "/v1/chat/completions", body["model"], body)
    )
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 4 * tokens})
    backend = FakeBackend(pacing="quick", limits=limits)
    report = run(build.input(lines), backend, results=build.results, limits=Limits())
    assert (report.ok, report.lines) == (10, 10)
    assert count_creates(backend) == 4
    assert build.ids() == TEN


def test_point_06_one_line_per_line_in_order_also_where_a_line_fails_for_good(build):
    answers = {name: f"answer {name}" for name in TEN}
    answers["id-2"] = (400, {"error": {"message": "no", "code": "invalid_value"}})
    source = build.input([build.chat(name) for name in reversed(TEN)])
    backend = FakeBackend(pacing="quick", responder=answers)
    report = run(source, backend, results=build.results, limits=Limits(requests_per_batch=3))
    assert build.ids() == TEN[::-1]
    assert (report.ok, report.failed, report.resent) == (9, 1, 0)


@pytest.mark.parametrize(
    ("fault", "claims"),
    [
        ("blank", {AnomalyKind.BLANK}),
        ("doubled", {AnomalyKind.DOUBLED}),
        ("foreign", {AnomalyKind.FOREIGN}),
        ("missing", {AnomalyKind.MISSING, AnomalyKind.COMPLETED}),
        ("cut", {AnomalyKind.UNREADABLE, AnomalyKind.MISSING, AnomalyKind.COMPLETED}),
        ("in_both", {AnomalyKind.DOUBLED}),
    ],
)
def test_point_07_what_the_files_hold_and_should_not_is_named(build, ten_lines, fault, claims):
    faults = Faults(lines=(LineFault(fault, custom_id="id-4"),))
    backend = FakeBackend(pacing="quick", faults=faults)
    policy = Policy(retries=0, accept_lost=True)
    report = run(ten_lines, backend, results=build.results, policy=policy)
    found = {each.kind for each in report.differences[1]}
    assert claims <= found
    assert build.ids() == TEN
    ledger = [json.loads(line) for line in report.ledger.read_bytes().splitlines()]
    assert [each["custom_id"] for each in ledger] == TEN
    counts = report.ok, report.failed, report.expired, report.cancelled, report.missing
    assert sum(counts) == 10


def test_point_08_a_changed_input_is_refused_and_nothing_is_sent(build, ten_lines):
    backend = FakeBackend(pacing="quick")
    kill = lambda number, name: ("after", build.Killed()) if name == "create_batch" else None  # noqa: E731
    with pytest.raises(build.Killed):
        run(ten_lines, build.Interrupting(backend, kill), results=build.results)
    before = ten_lines.read_bytes()
    ten_lines.write_bytes(before.replace(b"hello", b"Hello", 1))
    requests = backend.requests.count
    with pytest.raises(JournalError):
        run(ten_lines, backend, results=build.results)
    assert backend.requests.count == requests
    ten_lines.write_bytes(before)
    assert run(ten_lines, backend, results=build.results).all_ok


def test_point_09_of_two_runners_of_one_job_the_second_is_refused(build, ten_lines):
    backend, refused = FakeBackend(pacing="quick"), []

    def start_another(_):
        with pytest.raises(JournalError, match="another runner is at work") as raised:
            run(ten_lines, backend, results=build.results)
        refused.append(raised)

    assert run(ten_lines, backend, results=build.results, observe=start_another).all_ok
    assert len(refused) > 5
    assert count_creates(backend) == 1


def peak_memory_of_runner(build, lines, folder):
    """The most bytes that the runner itself held while it ran so many lines, 250 a shard."""
    source = build.folder / f"{lines}.jsonl"
    source.write_bytes(build.jsonl([build.chat(f"id-{n:06}") for n in range(lines)]))
    backend = FakeBackend(pacing="instant")
    mine = [tracemalloc.Filter(True, f"*/batchsim/{part}*") for part in ("runner/", "jsonl.py")]
    most = [0]

    def measure(progress):
        if "have a good result" in progress.message:
            snapshot = tracemalloc.take_snapshot().filter_traces(mine)
            most[0] = max(most[0], sum(each.size for each in snapshot.traces))

    limits = Limits(requests_per_batch=250)
    tracemalloc.start()
    try:
        report = run(source, backend, results=folder / f"r{lines}", limits=limits, observe=measure)
    finally:
        tracemalloc.stop()
    assert report.ok == lines
    return most[0]


@pytest.mark.slow
def test_point_10_memory_does_not_grow_with_the_lines(build, tmp_path):
    peak_memory_of_runner(build, 250, tmp_path)  # what is imported and cached once
    few, many = (
        peak_memory_of_runner(build, 500, tmp_path),
        peak_memory_of_runner(build, 2_000, tmp_path),
    )
    assert (many - few) / 1_500 < 24, "bytes for each line more"


def test_point_11_the_budget_is_never_crossed_also_over_restarts(build):
    lines = [build.chat(name) for name in TEN[:4]]
    for each in lines:
        each["body"]["max_tokens"] = 100
    source = build.input(lines)
    backend = FakeBackend(pacing=Pacing(validating=60, running=600, running_per_line=0, spread=0))
    policy = Policy(max_cost=CAP_FOR_TWO)
    seen, live = [], []

    def watch(progress):
        if not any(word in progress.message for word in ("created", "found", "1 of 1")):
            return
        with JournalReader(build.job / "journal.db") as journal:
            state = fold(journal.news())
        held = balance(state)
        seen.append(held.spent + held.reserved)
        live.append(sum(shard.stage is Stage.LIVE for shard in state.shards.values()))
        if len(seen) % 2:
            raise build.Killed

    report = None
    for _ in range(20):
        with suppress(build.Killed):
            report = run(
                source,
                backend,
                results=build.results,
                limits=ONE_EACH,
                policy=policy,
                observe=watch,
            )
            break
    assert report is not None
    assert report.all_ok
    assert CAP_FOR_TWO / 2 < max(seen) <= CAP_FOR_TWO
    assert max(live) == 2
    assert (count_creates(backend), len(build.batches_of(backend))) == (4, 4)


def line_of(custom_id, *, url="/v1/chat/completions", **body):
    body = {"model": "gpt-4o-mini", "messages": [], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


FIRST = line_of("a")
EVERY_CLASS = {
    "duplicate_custom_id": ([FIRST, FIRST], 2),
    "empty_file": ([], None),
    "invalid_json_line": ([FIRST, "{"], 2),
    "invalid_method": ([FIRST, {**line_of("b"), "method": "GET"}], 2),
    "invalid_type": ([FIRST, {**line_of("b"), "body": "x"}], 2),
    "invalid_url": ([FIRST, line_of("b", url="/v1/other")], 2),
    "mismatched_model": ([FIRST, line_of("b", model="gpt-4o")], 2),
    "missing_required_parameter": ([FIRST, {"custom_id": "b"}], 2),
    "streaming_unsupported": ([FIRST, line_of("b", stream=True)], 2),
    "too_many_inputs": (
        [line_of("a", url="/v1/embeddings", model="text-embedding-3-small", input=["x"] * 50_001)],
        None,
    ),
    "too_many_tasks": ([line_of(f"id-{n}") for n in range(50_001)], None),
}


@pytest.mark.parametrize("code", sorted(INPUT_ERRORS))
def test_point_12_validate_says_line_code_and_reason_for_every_class(code):
    from click.testing import CliRunner

    from batchsim.cli.commands.validate import validate

    lines, number = EVERY_CLASS[code]
    content = "".join(
        (each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines
    )
    found = CliRunner().invoke(validate, ["--json", "-"], input=content, standalone_mode=False)
    assert found.return_value == 2
    findings = [json.loads(each) for each in found.stdout.splitlines()]
    (error,) = [each for each in findings if each["severity"] == "error"]
    assert (error["code"], error["line"]) == (code, number)
    assert error["message"]
    assert error["hint"]
