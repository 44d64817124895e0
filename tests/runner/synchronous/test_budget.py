"""The cap on cost, and what is asked for without a batch: reserved and settled at the ordinary
price.
"""

from __future__ import annotations

import itertools
from collections import Counter
from decimal import Decimal

import pytest

import batchsim
from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.limits import HOUR, Limits
from batchsim.domain.lines import RequestLine
from batchsim.errors import JobIncomplete, OutcomeUnknown, Unavailable
from batchsim.pricing.prices import cost
from batchsim.runner.job import fold
from batchsim.runner.journal import Journal
from batchsim.runner.journal.shard_entries import AnswerIntended, AnswerRecorded
from batchsim.runner.planning.token_bounds import bounds
from batchsim.runner.policy import SyncFinish
from batchsim.runner.progress.job_summary import summarize
from batchsim.runner.progress.snapshot import progress
from batchsim.runner.run import Policy, run
from batchsim.runner.schedule import budget, capacity
from batchsim.runner.schedule.budget import balance, balance_of
from batchsim.runner.synchronous.answer_file import AnswerFile

MODEL = "gpt-4o-mini"
NEVER = Pacing(running=48 * HOUR, running_per_line=0, spread=0)


class NeverRunning(FakeBackend):
    """Its batches run no line in time; `answers` may say what a line is answered at a try."""

    def __init__(self, answers=None, pacing=NEVER):
        super().__init__(pacing=pacing)
        self.asked = Counter()
        self.answers = answers

    def answer(self, url, body):
        text = body["messages"][0]["content"]
        self.asked[text] += 1
        told = self.answers(text, self.asked[text]) if self.answers else None
        return super().answer(url, body) if told is None else told


def lines_of(build, count, **body):
    asked = [build.chat(f"id-{n}", text=f"text {n}") for n in range(count)]
    return [{**line, "body": {**line["body"], "max_tokens": 100, **body}} for line in asked]


def finishing_policy(cap=None, **options):
    options = {"deadline": HOUR, "sync": SyncFinish(parallel=1), **options}
    return Policy(finish_sync=True, max_cost=cap, **options)


def most_of_one(build, line=None):
    """What is reserved for such a line."""
    line = line or lines_of(build, 1)[0]
    request = RequestLine(1, line["custom_id"], line["url"], MODEL, line["body"])
    usage = Usage(*bounds(build.jsonl([line])[:-1], request))
    return cost(MODEL, usage, batch=False)


def answer_intents(build):
    return [entry for _, entry in build.entries() if isinstance(entry, AnswerIntended)]


def test_each_request_is_reserved_at_the_ordinary_price_and_settled_by_its_usage(build):
    backend = NeverRunning()
    report = run(
        build.input(lines_of(build, 3)),
        backend,
        results=build.results,
        policy=finishing_policy(Decimal(1)),
    )
    assert report.all_ok
    assert report.synchronous == 3
    assert {entry.position for entry in answer_intents(build)} == {0, 1, 2}
    for entry in answer_intents(build):
        assert cost(MODEL, Usage(0, 100), batch=False) < entry.reserved <= most_of_one(build)
    held = balance(fold(build.entries()))
    assert held.reserved == 0
    assert held.spent == cost(MODEL, report.usage, batch=False) > 0


@pytest.mark.slow
def test_reserved_and_settled_never_exceed_the_cap_whatever_write_is_the_last(build, monkeypatch):
    """Killed at every write of the journal and of the answers; and again, at the same write."""
    caps = most_of_one(build) * Decimal("1.5"), most_of_one(build) * 9
    source = build.input(lines_of(build, 3))
    append, store = Journal.append, AnswerFile.append
    life: dict = {}

    def until(write):
        def checked(self, *arguments, **options):
            if next(life["writes"]) == life["last"]:
                raise build.Killed
            write(self, *arguments, **options)

        return checked

    def append_within_the_cap(journal, *entries, **options):
        append(journal, *entries, **options)
        money = balance(fold(journal.entries()))
        assert money.spent + money.reserved <= life["cap"]

    monkeypatch.setattr(Journal, "append", until(append_within_the_cap))
    monkeypatch.setattr(AnswerFile, "append", until(store))
    for last in itertools.count():
        backend, results = NeverRunning(), build.folder / f"results-{last}.jsonl"
        deaths, stops, report = 0, [], None
        life["cap"] = caps[0]
        while report is None:
            life.update(writes=itertools.count(), last=last if deaths < 2 else None)
            try:
                report = run(source, backend, results=results, policy=finishing_policy(life["cap"]))
            except build.Killed:
                deaths += 1
            except JobIncomplete as error:  # what was cut off may have been paid, and is held
                stops.append((life["cap"], deaths > 0, " cap is left" in error.message))
                life["cap"] = caps[1]
        assert stops in ([], [(caps[0], True, True)]), "the higher cap has room for all"
        assert set(backend.asked.values()) <= {1}, "no line is asked for twice"
        assert report.lines == 3
        assert report.failed <= deaths
        if not deaths:
            break
    assert last > 15
    assert report.all_ok


def test_what_does_not_fit_is_not_sent_and_a_higher_cap_goes_on(build):
    (long,) = lines_of(build, 1, messages=[{"role": "user", "content": "long " * 4_000}])
    source = build.input([*lines_of(build, 3)[1:], {**long, "custom_id": "long"}])
    backend = NeverRunning()
    cap = most_of_one(build, long) * Decimal("0.99")
    with pytest.raises(JobIncomplete, match=r"1 line is not sent without a batch.* cap is left"):
        run(source, backend, results=build.results, policy=finishing_policy(cap))
    assert set(backend.asked) == {"text 1", "text 2"}, "what fits is asked for"
    assert not build.results.exists()
    report = run(source, backend, results=build.results, policy=finishing_policy(Decimal(1)))
    assert report.all_ok
    assert set(backend.asked.values()) == {1}


def test_a_shard_that_the_cap_kept_from_a_batch_does_not_wait_for_the_deadline(build):
    backend = NeverRunning()
    start = backend.clock.now()
    with pytest.raises(JobIncomplete, match="may cost up to"):
        run(
            build.input(lines_of(build, 2)),
            backend,
            results=build.results,
            policy=finishing_policy(Decimal("0.000001")),
        )
    assert backend.clock.now() - start < 60
    assert not backend.asked


@pytest.mark.parametrize("tier", ["priority", "Priority", ["priority"], 1, {}], ids=str)
def test_a_line_of_a_dearer_tier_has_no_bound(build, tier):
    source = build.input(lines_of(build, 1, service_tier=tier))
    backend = NeverRunning()
    with pytest.raises(JobIncomplete, match=r"1 line is not sent.*'id-0'.*nothing bounds"):
        run(source, backend, results=build.results, policy=finishing_policy(Decimal(1)))
    assert not backend.asked


def answering_first_with(status):
    def answers(text, times):
        return Answer(status, "{}") if text == "text 0" and times == 1 else None

    return answers


@pytest.mark.parametrize(("status", "kept"), [(500, 0), (429, 0), (408, 1), (504, 1)])
def test_each_try_is_reserved_and_one_that_took_too_long_stays_so(build, status, kept):
    backend = NeverRunning(answering_first_with(status))
    report = run(
        build.input(lines_of(build, 1)),
        backend,
        results=build.results,
        policy=finishing_policy(Decimal(1)),
    )
    assert report.all_ok
    assert len(answer_intents(build)) == backend.asked["text 0"] == 2
    held = balance(fold(build.entries()))
    assert held.reserved == kept * answer_intents(build)[0].reserved
    assert held.spent == cost(MODEL, report.usage, batch=False)


def test_another_try_that_does_not_fit_leaves_the_answer_that_came(build):
    backend = NeverRunning(answering_first_with(504))
    cap = most_of_one(build) * Decimal("1.2")
    report = run(
        build.input(lines_of(build, 1)),
        backend,
        results=build.results,
        policy=finishing_policy(cap),
    )
    assert report.failed == backend.asked["text 0"] == 1
    assert build.records()[0]["response"]["status_code"] == 504


def test_a_kill_between_two_tries_does_not_lose_the_second(build):
    def answers(text, times):
        if times == 2 and not died:
            died.append(text)
            raise build.Killed
        return Answer(429, "{}") if times == 1 else None

    died = []
    backend = NeverRunning(answers)
    source = build.input(lines_of(build, 2))
    for _ in range(2):
        try:
            report = run(
                source, backend, results=build.results, policy=finishing_policy(Decimal(1))
            )
        except build.Killed:
            continue
    assert died == ["text 0"]
    assert (report.ok, report.failed) == (1, 1), "one was sent and not answered, one only refused"


def test_a_request_that_never_left_costs_nothing_and_a_lost_answer_stays_reserved(build):
    def answers(text, times):
        if text == "text 0" and times == 1:
            raise Unavailable("no way there")
        if text == "text 1":
            raise OutcomeUnknown("no answer")

    backend = NeverRunning(answers)
    report = run(
        build.input(lines_of(build, 2)),
        backend,
        results=build.results,
        policy=finishing_policy(Decimal(1)),
    )
    assert (report.ok, report.failed) == (1, 1)
    state = fold(build.entries())
    assert balance(state).reserved == answer_intents(build)[-1].reserved > 0
    assert summarize(progress(state, 0.0)).reserved == balance(state).reserved, "status tells of it"


def test_an_answer_that_tells_no_usage_stays_reserved(build):
    def answers(text, times):
        return Answer(200, '{"choices": []}')

    run(
        build.input(lines_of(build, 1)),
        NeverRunning(answers),
        results=build.results,
        policy=finishing_policy(),
    )
    assert not any(isinstance(entry, AnswerRecorded) for _, entry in build.entries())
    assert balance(fold(build.entries())).reserved == answer_intents(build)[0].reserved > 0


def test_status_and_results_count_such_lines_at_the_ordinary_price(build):
    """Some lines run in the batch before the deadline, and the rest without one."""
    running_slowly = Pacing(running=2 * HOUR, running_per_line=0, spread=0)
    backend = NeverRunning(pacing=running_slowly)
    results = batchsim.run(
        build.input(lines_of(build, 10)),
        backend,
        results=build.results,
        policy=finishing_policy(Decimal(1), deadline=1.5 * HOUR),
    )
    alone = results.report.synchronous
    assert results.all_ok
    assert 0 < alone < 10
    by_line = [(each.usage, each.request.body["messages"][0]["content"]) for each in results]
    expected = sum(cost(MODEL, usage, batch=text not in backend.asked) for usage, text in by_line)
    assert sum(backend.asked.values()) == alone
    assert results.cost == expected
    state = fold(build.entries())
    assert summarize(progress(state, 0.0)).spent == expected == balance(state).spent
    assert balance(state).reserved == 0


def test_what_a_line_costs_in_work_does_not_grow_with_the_shards(build, monkeypatch):
    """What is held is kept up entry by entry, not summed over all shards for each line."""
    calls = Counter()

    def counted(shard):
        calls["shard"] += 1
        return balance_of(shard)

    for module in (budget, capacity):
        monkeypatch.setattr(module, "balance_of", counted)

    def per_line(count):
        calls.clear()
        report = run(
            build.input(lines_of(build, count)),
            NeverRunning(),
            results=build.folder / f"results-{count}.jsonl",
            limits=Limits(requests_per_batch=1),
            policy=finishing_policy(Decimal(100), max_live=2, retries=0),
        )
        assert report.synchronous == count
        return calls["shard"] / count

    assert per_line(60) < 1.2 * per_line(15)
