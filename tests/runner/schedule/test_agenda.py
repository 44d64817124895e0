"""Thousands of shards: a step of the loop costs what has changed, not what there is."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend
from batchsim.cli.display.run_display import Display
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete
from batchsim.runner.engine import loop
from batchsim.runner.job import Counts, JobState, Session
from batchsim.runner.journal import job_entries
from batchsim.runner.policy import BatchRetries, Policy, Polling
from batchsim.runner.progress import job_summary
from batchsim.runner.run import run
from batchsim.runner.schedule import agenda as agendas
from batchsim.runner.schedule.actions import Collect, Upload, Wait
from batchsim.runner.schedule.agenda import Agenda
from batchsim.runner.schedule.decide import decide
from batchsim.runner.schedule.keyed_heap import KeyedHeap
from tests.sample_batches import sample_planned

FEW, MANY = 12, 60


def input_of(build, count):
    return build.input([build.chat(f"id-{n}", text="word " * (1 + n % 7)) for n in range(count)])


def calls_for_job(build, monkeypatch, count):
    """How often what was done for a job of so many live shards of one line each."""
    calls = Counter()

    def count_calls(owner, name):
        real = getattr(owner, name)

        def counted(*arguments, **options):
            calls[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)

    backend = FakeBackend(seed=1, pacing="quick")
    for owner, name in (
        (agendas, "next_steps"),
        (agendas.Capacity, "admits"),
        (loop, "decide"),
        (backend, "list_batches"),
        (Counts, "add"),
        (Counts, "remove"),
        (job_summary, "shard_progress"),
    ):
        count_calls(owner, name)
    limits = replace(backend.limits, requests_per_batch=1)
    results = build.folder / f"{count}.jsonl"
    policy = Policy(max_live=count)
    observe = Display().show
    run(
        input_of(build, count),
        backend,
        results=results,
        limits=limits,
        policy=policy,
        observe=observe,
    )
    assert len(build.batches_of(backend)) == count
    return calls


def test_the_work_on_a_shard_does_not_grow_with_their_number(build, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    few, many = (calls_for_job(build, monkeypatch, count) for count in (FEW, MANY))
    bounds = {
        "next_steps": 12,
        "admits": 3,
        "decide": 5,
        "add": 15,
        "remove": 15,
        "shard_progress": 12,
    }
    for what, bound in bounds.items():
        assert 0 < many[what] <= bound * MANY, what
        assert many[what] / MANY <= 1.25 * few[what] / FEW, what
    assert many["list_batches"] - few["list_batches"] < MANY / 4, "creates share their looks"


SCENARIOS = [
    pytest.param({}, {}, id="plain"),
    pytest.param({"scenario": "reply_lost"}, {"on_unknown": "fence"}, id="reply lost"),
    pytest.param({"scenario": "duplicate_create"}, {}, id="twins"),
    pytest.param({"scenario": "stale_list"}, {"on_unknown": "wait"}, id="stale list"),
    pytest.param(
        {"scenario": "expired_partial"},
        {"finish_sync": True, "polling": Polling(slowest=1_800.0)},
        id="expired",
    ),
    pytest.param({"limits": Limits(enqueued_tokens={"gpt-4o-mini": 60})}, {}, id="full queue"),
    pytest.param({}, {"max_live": 2, "batch_retries": BatchRetries(batches=2)}, id="two at once"),
    pytest.param({}, {"max_cost": Decimal("0.00005")}, id="cap"),
]


@pytest.mark.parametrize(("service", "policy"), SCENARIOS)
@pytest.mark.parametrize("cancelled", [False, True])
def test_an_agenda_kept_up_tells_what_one_made_anew_would(
    build, monkeypatch, service, policy, cancelled
):
    compared = Counter()

    def checked(agenda, now):
        actions = decide(agenda, now)
        known = agenda.state, agenda.session, agenda.policy, agenda.limits
        assert actions == decide(Agenda(*known), now)
        anew = Agenda(*known)
        anew.refresh()
        for name in ("shards", "money"):
            assert getattr(agenda.load, name) == getattr(anew.load, name)
        assert +agenda.load.tokens == +anew.load.tokens
        assert +agenda.stages == +anew.stages
        assert agenda.state.counts == Counts.of(agenda.state.shards.values())
        compared[type(actions[0]).__name__] += 1
        if cancelled and len(compared) > 5:
            (build.job / "cancel").touch()
        return actions

    monkeypatch.setattr(loop, "decide", checked)
    backend = FakeBackend(seed=3, **service)
    limits = replace(backend.limits, requests_per_batch=2, enqueued_tokens={})
    lines = [
        {**line, "body": {**line["body"], "max_tokens": 50}}
        for line in (build.chat(f"id-{n}", text="word " * (1 + n % 7)) for n in range(15))
    ]
    policy = Policy(**{"polling": Polling(survey_from=3), **policy})
    with suppress(JobIncomplete):
        run(build.input(lines), backend, results=build.results, limits=limits, policy=policy)
    assert compared.total() > 20


def test_an_agenda_survives_a_clock_that_is_set_back(build):
    agenda = Agenda(JobState(), Session(), Policy(), Limits())
    agenda.apply(1_000.0, job_entries.Reconciled())
    agenda.apply(1_000.0, sample_planned())
    assert decide(agenda, 1_000.0) == [Upload(1)]
    agenda.apply(1_000.0, job_entries.CancelRequested())
    assert decide(agenda, 1_000.0) == [Collect(1)]
    assert decide(agenda, 400.0) == [Wait(1_000.0)]
    assert decide(agenda, 1_000.0) == [Collect(1)]


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.none() | st.integers(0, 4)),
        max_size=60,
    )
)
def test_the_smallest_value_is_that_of_a_search(puts):
    values, smallest = {}, KeyedHeap()
    for number, value in puts:
        smallest.put(number, value)
        if value is None:
            values.pop(number, None)
        else:
            values[number] = value
        first = min(((value, number) for number, value in values.items()), default=(None, None))
        assert (smallest.value, smallest.number) == first
        assert len(smallest) == len(values)
