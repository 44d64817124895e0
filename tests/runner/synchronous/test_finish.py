"""--finish-sync: what is left when the deadline nears is asked for at once, and nothing twice."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing, RequestFault
from batchsim.domain.limits import DAY, HOUR, Limits
from batchsim.errors import OutcomeUnknown, UsageError
from batchsim.runner.job import fold
from batchsim.runner.journal import Journal
from batchsim.runner.policy import SyncFinish
from batchsim.runner.run import Policy, run
from batchsim.runner.schedule.budget import balance, cost_bound

SLOW = Pacing(running=48 * HOUR, running_per_line=0, spread=0)


class CountingService(FakeBackend):
    """Counts the requests that are answered without a batch, by their text."""

    def __init__(self, fails=None, **options):
        super().__init__(pacing=SLOW, **options)
        self.asked = Counter()
        self.fails = fails

    def answer(self, url, body):
        text = body["messages"][0]["content"]
        self.asked[text] += 1
        if self.fails is not None:
            self.fails(text, self.asked[text])
        return super().answer(url, body)


@pytest.fixture
def lines(build):
    return [build.chat(f"id-{n}", text=f"text {n}") for n in range(10)]


def finishing_policy(**options):
    return Policy(finish_sync=True, sync=SyncFinish(parallel=2), **options)


def assert_each_asked_once(build, lines, report, backend):
    assert build.ids() == [line["custom_id"] for line in lines]
    ledger = [json.loads(line) for line in report.ledger.read_bytes().splitlines()]
    alone = {account["custom_id"] for account in ledger if account["batch"] is None}
    assert {f"id-{text.split()[1]}" for text in backend.asked} == alone
    assert set(backend.asked.values()) == {1}
    return alone


def test_what_a_batch_has_not_run_by_the_deadline_is_asked_for_alone(build, lines):
    backend = CountingService()
    start = backend.clock.now()
    policy = finishing_policy(deadline=12.5 * HOUR)
    report = run(build.input(lines), backend, results=build.results, policy=policy)
    alone = assert_each_asked_once(build, lines, report, backend)
    assert 0 < len(alone) < 10, "what had run in the batch is kept"
    assert report.all_ok
    assert backend.clock.now() - start <= 12.5 * HOUR
    (batch,) = build.batches_of(backend)
    assert str(batch.status) == "cancelled"
    assert batch.request_counts.completed == 10 - len(alone)


def test_without_a_deadline_the_window_of_the_batch_is_one(build, lines):
    backend = CountingService()
    start = backend.clock.now()
    report = run(build.input(lines), backend, results=build.results, policy=finishing_policy())
    assert_each_asked_once(build, lines, report, backend)
    assert report.all_ok
    assert 23 * HOUR < backend.clock.now() - start < DAY


def test_nothing_is_asked_for_alone_unless_allowed_or_while_there_is_time(build, lines):
    backend = CountingService()
    report = run(
        build.input(lines), backend, results=build.results, policy=Policy(deadline=HOUR, retries=0)
    )
    assert not backend.asked
    assert report.expired
    quick = FakeBackend(pacing="quick")
    results = build.folder / "quick.jsonl"
    policy = finishing_policy(deadline=12 * HOUR)
    assert run(build.input(lines), quick, results=results, policy=policy).rounds == 0


def test_shards_that_were_never_sent_are_asked_for_too(build, lines):
    backend = CountingService()
    report = run(
        build.input(lines),
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=2),
        policy=finishing_policy(deadline=6 * HOUR, max_live=2),
    )
    assert_each_asked_once(build, lines, report, backend)
    assert report.all_ok
    assert len(build.batches_of(backend)) == 2


@pytest.mark.parametrize("n", range(1, 8))
def test_a_kill_between_requests_pays_for_none_twice_and_names_what_is_unknown(build, lines, n):
    killed = []

    def fail(text, times):
        if len(backend.asked) == n and not killed:
            killed.append(text)
            raise build.Killed

    backend = CountingService(fails=fail)
    source, policy = (
        build.input(lines),
        Policy(finish_sync=True, sync=SyncFinish(parallel=1), deadline=8 * HOUR),
    )
    with pytest.raises(build.Killed):
        run(source, backend, results=build.results, policy=policy)
    report = run(source, backend, results=build.results, policy=policy)
    assert_each_asked_once(build, lines, report, backend)
    unknown = [r for r in build.records() if r["error"] and r["error"]["code"] == "outcome_unknown"]
    assert [f"text {r['custom_id'].split('-')[1]}" for r in unknown] == killed
    assert (report.ok, report.failed) == (9, 1)


def test_an_answer_that_was_lost_is_named_and_not_asked_for_again(build, lines):
    def fail(text, times):
        if text == "text 3":
            raise OutcomeUnknown("no answer came")

    backend = CountingService(fails=fail)
    policy = finishing_policy(deadline=2 * HOUR)
    report = run(build.input(lines), backend, results=build.results, policy=policy)
    assert_each_asked_once(build, lines, report, backend)
    assert report.failed == 1
    assert build.records()[3]["error"]["code"] == "outcome_unknown"


def test_a_damaged_last_answer_counts_as_unknown(build, lines):
    def fail(text, times):
        if len(backend.asked) == 4:
            raise build.Killed

    backend = CountingService(fails=fail)
    source, policy = (
        build.input(lines),
        Policy(finish_sync=True, sync=SyncFinish(parallel=1), deadline=2 * HOUR),
    )
    with pytest.raises(build.Killed):
        run(source, backend, results=build.results, policy=policy)
    (answers,) = [p for p in (build.job / "shards").glob("*.output.jsonl") if "0001" not in p.name]
    answers.write_bytes(answers.read_bytes()[:-20])
    backend.fails = None
    report = run(source, backend, results=build.results, policy=policy)
    assert_each_asked_once(build, lines, report, backend)
    assert (report.ok, report.failed) == (8, 2)


def test_what_cannot_be_finished_is_refused_before_anything_is_sent(build, lines):
    backend = CountingService()
    wrapped = build.Interrupting(backend, lambda *call: None)
    with pytest.raises(UsageError, match="answers no single requests"):
        run(build.input(lines), wrapped, results=build.results, policy=finishing_policy())
    assert not build.batches_of(backend)
    assert not build.job.exists()


def create_unanswered(happened):
    """A batch that is late is asked for as the second of two; whether it happened
    is for the test.
    """
    fault = "reply_lost" if happened else "reset"
    return Faults(
        requests=(RequestFault(fault, call="create_batch", nth=2),), stale_list_for=3 * DAY
    )


@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("on_unknown", ["stop", "wait"])
def test_lines_of_a_batch_that_may_exist_are_not_asked_for_and_hold_up_no_others(
    build, lines, on_unknown, happened
):
    backend = CountingService(faults=create_unanswered(happened))
    start = backend.clock.now()
    report = run(
        build.input(lines),
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=5),
        policy=finishing_policy(deadline=6 * HOUR, on_unknown=on_unknown),
    )
    assert backend.clock.now() - start <= 6 * HOUR
    unknown = {r["custom_id"] for r in build.records() if r["error"]}
    assert unknown == {f"id-{n}" for n in range(5, 10)}
    assert {r["error"]["code"] for r in build.records() if r["error"]} == {"outcome_unknown"}
    assert not {f"text {n}" for n in range(5, 10)} & set(backend.asked)
    assert (report.ok, report.failed) == (5, 5)
    assert list(report.unfound) == [2]
    again = run(
        build.source, backend, results=build.results, policy=finishing_policy(deadline=6 * HOUR)
    )
    assert again == report
    assert set(backend.asked.values()) == {1}


def test_lines_of_a_batch_that_was_fenced_off_are_asked_for(build, lines):
    backend = CountingService(faults=create_unanswered(happened=False))
    report = run(
        build.input(lines),
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=5),
        policy=finishing_policy(deadline=900, on_unknown="fence"),
    )
    assert_each_asked_once(build, lines, report, backend)
    assert report.all_ok


@pytest.mark.parametrize(
    "n", range(9, 21)
)  # from the intent of the create to the last round's plan
def test_a_kill_anywhere_asks_for_no_line_of_a_batch_that_may_exist(build, lines, n, monkeypatch):
    backend = CountingService(faults=create_unanswered(happened=True))
    source = build.input(lines)
    options = {
        "results": build.results,
        "limits": Limits(requests_per_batch=5),
        "policy": finishing_policy(deadline=6 * HOUR),
    }
    append, writes = Journal.append, itertools.count(1)

    def write(journal, at, *entries, **checks):
        if next(writes) == n:
            raise build.Killed
        append(journal, at, *entries, **checks)

    with monkeypatch.context() as patched, suppress(build.Killed):
        patched.setattr(Journal, "append", write)
        run(source, backend, **options)
    run(source, backend, **options)
    created = {
        line["custom_id"]
        for batch in backend.undisturbed.list_batches(limit=100).data
        for line in map(json.loads, b"".join(backend.read_file(batch.input_file_id)).splitlines())
        if str(batch.status) != "cancelled"
    }
    asked = {f"id-{text.split()[1]}" for text in backend.asked}
    assert not created & asked
    assert set(backend.asked.values()) <= {1}


def test_what_a_batch_may_cost_that_was_left_stays_reserved(build):
    lines = [build.chat(f"id-{n}", text=f"text {n}") for n in range(10)]
    for line in lines:
        line["body"]["max_tokens"] = 100
    backend = CountingService(faults=create_unanswered(happened=True))
    run(
        build.input(lines),
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=5),
        policy=finishing_policy(deadline=6 * HOUR, max_cost=Decimal(1)),
    )
    with Journal(build.job / "journal.db") as journal:
        state = fold(journal.entries())
    assert state.shards[2].at_risk == cost_bound(state.shards[2])
    assert balance(state).reserved == cost_bound(state.shards[2])
