"""The cap on what a job may cost: reserved before, settled after, never exceeded in between."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest

from batchsim.backends.fake import FakeBackend, Faults, LineFault, Pacing, RequestFault
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete
from batchsim.pricing.prices import cost
from batchsim.runner.job import fold
from batchsim.runner.journal import Journal
from batchsim.runner.journal.shard_entries import CreateIntended
from batchsim.runner.run import Policy, run
from batchsim.runner.schedule.budget import Balance, balance

LIMITS = Limits(requests_per_batch=1)
SLOW = Pacing(running=3_600, running_per_line=0)


def line_of(build, custom_id, model="gpt-4o-mini", **body):
    request = build.chat(custom_id, model=model)
    return {**request, "body": {**request["body"], "max_tokens": 100, **body}}


def input_of(build, count):
    return build.input([line_of(build, f"id-{n:03}") for n in range(count)])


def reservation(build, tmp_path_factory):
    """What is reserved for one batch of such a line."""
    folder = tmp_path_factory.mktemp("one")
    source = folder / "one.jsonl"
    source.write_bytes(build.jsonl([line_of(build, "id-000")]))
    run(source, FakeBackend(), results=folder / "r.jsonl", policy=Policy(max_cost=Decimal(1)))
    with Journal(folder / "r.jsonl.job" / "journal.db") as journal:
        (found,) = [e.reserved for _, e in journal.entries() if isinstance(e, CreateIntended)]
    return found


class Stopped(Exception):
    pass


def test_t27_fifty_shards_at_once_and_a_cap_for_ten_create_exactly_ten(build, tmp_path_factory):
    cap = reservation(build, tmp_path_factory) * 10
    backend = FakeBackend(pacing=SLOW)
    most = []

    def watch(progress):
        most.append(len(backend.undisturbed.list_batches(limit=100).data))
        if backend.clock.now() > start + 1_000:
            raise Stopped

    start = backend.clock.now()
    with pytest.raises(Stopped):
        run(
            input_of(build, 50),
            backend,
            results=build.results,
            limits=LIMITS,
            policy=Policy(max_cost=cap),
            observe=watch,
        )
    assert max(most) == 10
    assert balance(fold(build.entries())).left(cap) == 0


def test_p3_reserved_and_settled_never_exceed_the_cap_over_kills_and_rounds(
    build, monkeypatch, tmp_path_factory
):
    cap = reservation(build, tmp_path_factory) * Decimal("2.5")
    source = input_of(build, 6)
    backend = FakeBackend(pacing="quick")
    append = Journal.append
    writes = [0]

    def checked(journal, *entries, **options):
        append(journal, *entries, **options)
        held = balance(fold(journal.entries()))
        assert held.spent + held.reserved <= cap
        writes[0] += 1
        if writes[0] % 29 == 0:
            raise build.Killed

    monkeypatch.setattr(Journal, "append", checked)
    policy = Policy(max_cost=cap, on_unknown="fence")
    for _ in range(100):
        try:
            report = run(source, backend, results=build.results, limits=LIMITS, policy=policy)
        except build.Killed:
            continue
        break
    assert report.all_ok
    state = fold(build.entries())
    assert balance(state).reserved == 0
    assert balance(state).spent == sum(shard.spent for shard in state.shards.values()) > 0


def test_what_was_spent_without_a_cap_counts_under_a_later_one(build, tmp_path_factory):
    faults = Faults(lines=(LineFault("error", line=1, status=500, batch=2),))
    backend = FakeBackend(pacing="quick", faults=faults)
    source = input_of(build, 2)
    run(source, backend, results=build.results, limits=LIMITS, policy=Policy(retries=0))
    spent = balance(fold(build.entries()))
    assert not any(shard.is_cost_recorded for shard in fold(build.entries()).shards.values())
    assert spent == Balance(cost("gpt-4o-mini", fold(build.entries()).tally().usage, batch=True))
    room = reservation(build, tmp_path_factory)
    for cap, batches in ((spent.spent + room / 2, 2), (spent.spent + room, 3)):
        policy = Policy(retries=1, max_cost=cap)
        with suppress(JobIncomplete):
            run(source, backend, results=build.results, limits=LIMITS, policy=policy)
        assert len(backend.list_batches().data) == batches


def test_what_is_left_after_settling_admits_the_next(build, tmp_path_factory):
    cap = reservation(build, tmp_path_factory) * Decimal("1.5")
    backend = FakeBackend(pacing="quick")
    most = []
    report = run(
        input_of(build, 4),
        backend,
        results=build.results,
        limits=LIMITS,
        policy=Policy(max_cost=cap),
        observe=lambda progress: most.append(progress.batches.get("in_progress", 0)),
    )
    assert report.all_ok
    assert max(most) <= 1


def test_row_107_a_cap_smaller_than_the_first_shard_stops_before_the_upload(build):
    backend = FakeBackend()
    with pytest.raises(
        JobIncomplete, match=r"may cost up to \$0.0000.* of the \$0.000010 cap is left"
    ):
        run(
            input_of(build, 1),
            backend,
            results=build.results,
            policy=Policy(max_cost=Decimal("1e-5")),
        )
    assert not backend.undisturbed.list_files().data


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_tokens": None}, "set no limit to their output"),
        ({"model": "ft:gpt-4o-mini:mine"}, "price of ft:gpt-4o-mini:mine is not known"),
        ({"tools": [{"type": "web_search"}]}, "the service's own tools"),
        ({"web_search_options": {}}, "the service's own tools"),
        ({"model": "gpt-4o-mini-search-preview"}, "the service's own tools"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
                        ],
                    }
                ]
            },
            "name images, files, stored prompts or the service's own tools",
        ),
    ],
)
def test_row_116_what_bounds_no_cost_is_not_sent_under_a_cap(build, change, told):
    backend = FakeBackend(supports=lambda model: True)
    body = {**line_of(build, "a")["body"], **change}
    source = build.input([line_of(build, "b"), {**line_of(build, "a"), "body": body}])
    with pytest.raises(JobIncomplete, match=told) as raised:
        run(
            source,
            backend,
            results=build.results,
            supports=lambda model: True,
            policy=Policy(max_cost=Decimal(1_000)),
        )
    assert raised.value.message.count("may cost up to") == 0
    assert not backend.undisturbed.list_files().data


def test_a_create_of_unknown_outcome_keeps_its_reservation_when_it_is_given_up(
    build, tmp_path_factory
):
    once = reservation(build, tmp_path_factory)
    faults = Faults(requests=(RequestFault("reset", call="create_batch", nth=1),))
    backend = FakeBackend(pacing="quick", faults=faults)
    policy = Policy(max_cost=once, on_unknown="fence")
    with pytest.raises(JobIncomplete, match=r"of the \$\S+ cap is left"):
        run(input_of(build, 1), backend, results=build.results, policy=policy)
    assert balance(fold(build.entries())).reserved == once
    assert not backend.undisturbed.list_batches().data


def test_a_refused_create_and_a_failed_batch_give_their_reservation_back(build, tmp_path_factory):
    once = reservation(build, tmp_path_factory)
    faults = Faults(
        requests=(RequestFault("error", call="create_batch", nth=1, status=429, retry_after=5),)
    )
    backend = FakeBackend(pacing="quick", faults=faults)
    report = run(input_of(build, 1), backend, results=build.results, policy=Policy(max_cost=once))
    assert report.all_ok


def test_p2_the_reservation_is_written_with_the_intent(build):
    backend = FakeBackend(pacing="quick")
    run(input_of(build, 1), backend, results=build.results, policy=Policy(max_cost=Decimal(1)))
    with Journal(build.job / "journal.db") as journal:
        entries = [entry for _, entry in journal.entries()]
    (intent,) = [entry for entry in entries if isinstance(entry, CreateIntended)]
    assert intent.reserved > 0
    assert intent.request_id.endswith("-r0-s0001-t0-n1")


def test_the_transaction_of_the_intent_refuses_what_deciding_let_through(
    build, monkeypatch, tmp_path_factory
):
    from batchsim.runner.schedule.capacity import Capacity

    cap = reservation(build, tmp_path_factory) * 2
    backend = FakeBackend(pacing=SLOW)
    monkeypatch.setattr(Capacity, "can_pay", lambda room, cost: True)
    with pytest.raises(JobIncomplete, match="leaves no room for another batch"):
        run(
            input_of(build, 5),
            backend,
            results=build.results,
            limits=LIMITS,
            policy=Policy(max_cost=cap),
        )
    assert len(backend.undisturbed.list_batches().data) == 2
    assert balance(fold(build.entries())).left(cap) == 0
