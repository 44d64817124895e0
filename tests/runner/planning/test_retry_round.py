"""Rounds: what may go better is sent again, and only that; what is paid is never
asked for twice.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsim.backends import Page
from batchsim.backends.fake import FakeBackend, Faults, Pacing
from batchsim.domain.batches import BatchError
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import HOUR, Limits
from batchsim.errors import JobIncomplete
from batchsim.runner.policy import Polling
from batchsim.runner.run import Policy, run

HALF_A_DAY_FOR_FIVE = Pacing(running=0, running_per_line=4.5 * HOUR, spread=0)
"""Of ten lines five have run when the window closes; five are done in time."""


def is_ordered(build, lines):
    return build.ids() == [line["custom_id"] for line in lines]


def test_an_expired_batch_keeps_its_half_and_only_the_rest_is_sent_again(build):
    backend = FakeBackend(pacing=HALF_A_DAY_FOR_FIVE)
    lines = [build.chat(f"id-{n}") for n in range(10)]
    report = run(build.input(lines), backend, results=build.results)
    assert (report.ok, report.all_ok, report.rounds, report.resent) == (10, True, 1, 5)
    assert is_ordered(build, lines)
    assert sorted(build.times_sent(backend).values()) == [1] * 5 + [2] * 5
    assert [batch.request_counts.total for batch in build.batches_of(backend)] == [5, 10]


def test_one_line_in_five_fails_and_only_those_are_sent_again(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"id-3": [500], "id-8": [500]}))
    lines = [build.chat(f"id-{n}") for n in range(10)]
    report = run(build.input(lines), backend, results=build.results)
    assert (report.ok, report.rounds, report.resent) == (10, 1, 2)
    assert is_ordered(build, lines)
    assert build.times_sent(backend) == Counter({line["custom_id"]: 1 for line in lines}) + Counter(
        ["id-3", "id-8"]
    )


QUOTA = {"error": {"message": "no money", "type": "insufficient_quota", "code": None}}


@pytest.mark.parametrize(
    ("status", "body", "times"),
    [
        (408, None, 3),
        (409, None, 3),
        (429, None, 3),
        (429, QUOTA, 1),
        (500, None, 3),
        (503, None, 3),
        (400, None, 1),
        (401, None, 1),
        (403, None, 1),
        (404, None, 1),
        (413, None, 1),
        (422, None, 1),
    ],
)
def test_what_passes_is_tried_as_often_as_allowed_and_what_stays_is_not(build, status, body, times):
    bodies = {status: body} if body else None
    backend = FakeBackend(pacing="quick", responder=build.failing({"a": [status] * 9}, bodies))
    report = run(
        build.input([build.chat("a"), build.chat("b")]),
        backend,
        results=build.results,
        policy=Policy(retries=2),
    )
    assert build.times_sent(backend) == {"a": times, "b": 1}
    assert (report.ok, report.failed, report.rounds) == (1, 1, times - 1)
    assert build.records()[0]["response"]["status_code"] == status


def test_no_round_is_begun_without_leave(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"a": [500]}))
    report = run(
        build.input([build.chat("a")]), backend, results=build.results, policy=Policy(retries=0)
    )
    assert (report.failed, report.rounds) == (1, 0)


def test_a_finished_job_is_taken_up_again_when_more_rounds_are_allowed(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"a": [500, 500]}))
    source = build.input([build.chat("a"), build.chat("b")])
    reports = [
        run(source, backend, results=build.results, policy=Policy(retries=retries))
        for retries in (0, 0, 1, 2, 9)
    ]
    assert [report.ok for report in reports] == [1, 1, 1, 2, 2]
    assert [report.rounds for report in reports] == [0, 0, 1, 2, 2]
    assert build.times_sent(backend) == {"a": 3, "b": 1}


def test_a_result_that_got_worse_in_a_later_round_is_the_last_one(build):
    backend = FakeBackend(pacing="quick", responder=build.failing({"a": [500, 400]}))
    report = run(build.input([build.chat("a")]), backend, results=build.results)
    assert (report.failed, report.rounds) == (1, 1)
    assert build.records()[0]["response"]["status_code"] == 400


def test_a_batch_that_somebody_cancelled_is_not_sent_again(build):
    backend = FakeBackend(pacing=Pacing(running=1000, running_per_line=0))

    def cancel_halfway(progress):
        if progress.done >= 4 and progress.batches.get("in_progress"):
            backend.cancel_batch(build.batches_of(backend)[0].id)

    report = run(
        build.input([build.chat(f"id-{n}") for n in range(10)]),
        backend,
        results=build.results,
        observe=cancel_halfway,
    )
    assert report.cancelled
    assert report.rounds == 0
    assert len(build.batches_of(backend)) == 1


def test_lines_that_a_failed_batch_does_not_name_run_without_those_that_it_names(build):
    class Strict(FakeBackend):
        """Refuses a line for a reason that no check of ours knows."""

        def __init__(self):
            super().__init__(pacing="quick")
            self.hated = {}

        def create_batch(self, **options):
            batch = super().create_batch(**options)
            content = b"".join(self.read_file(batch.input_file_id)).splitlines()
            for number, line in enumerate(content, start=1):
                if b"hateful" in line:
                    self.hated[batch.id] = number
            return batch

        def _failed(self, batch):
            line = self.hated.get(batch.id)
            if line is None:
                return batch
            error = BatchError("content_policy", "no", None, line)
            return replace(batch, status=Status.FAILED, errors=(error,), output_file_id=None)

        def retrieve_batch(self, batch_id):
            return self._failed(super().retrieve_batch(batch_id))

        def list_batches(self, **options):
            page = super().list_batches(**options)
            return Page(tuple(map(self._failed, page.data)), page.has_more)

    backend = Strict()
    lines = [build.chat("a"), build.chat("b", text="hateful"), build.chat("c")]
    report = run(build.input(lines), backend, results=build.results)
    assert (report.ok, report.failed, report.rounds) == (2, 1, 1)
    assert is_ordered(build, lines)
    assert build.records()[1]["error"]["code"] == "content_policy"


def test_lines_whose_results_are_paid_and_out_of_reach_are_not_asked_for_again(build):
    backend = FakeBackend(pacing="quick", faults=Faults(result_ids_late_by=30 * HOUR))
    source = build.input([build.chat("a")])
    with pytest.raises(JobIncomplete, match="1 line has no result"):
        run(source, backend, results=build.results)
    assert len(build.batches_of(backend)) == 1


def test_mixed_models_and_endpoints_come_back_as_one_ordered_result_over_rounds(build):
    lines = []
    for n in range(6):
        lines += [
            build.chat(f"mini-{n}"),
            build.embedding(f"embedding-{n}", inputs=2),
            build.chat(f"large-{n}", model="gpt-4o"),
        ]
    bad = {"mini-1": [500], "embedding-2": [503, 500], "large-5": [429], "large-0": [400]}
    backend = FakeBackend(pacing="quick", responder=build.failing(bad))
    report = run(
        build.input(lines), backend, results=build.results, limits=Limits(requests_per_batch=4)
    )
    assert (report.ok, report.failed, report.rounds, report.resent) == (17, 1, 2, 4)
    assert is_ordered(build, lines)
    for batch in build.batches_of(backend):
        content = b"".join(backend.read_file(batch.input_file_id)).splitlines()
        bodies = [json.loads(line) for line in content]
        assert {body["url"] for body in bodies} == {batch.endpoint}
        assert len({body["body"]["model"] for body in bodies}) == 1
        assert len(bodies) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_rounds_survive_a_kill_at_every_write_of_the_journal(build, moment, monkeypatch):
    lines = [build.chat(f"id-{n}") for n in range(4)]
    source = build.input(lines)
    bad = {"id-1": [500], "id-2": [500, 500]}
    policy = Policy(on_unknown="fence", list_lag=30.0, polling=Polling(search=10.0))
    backends = defaultdict(
        lambda: FakeBackend(seed=1, pacing="quick", responder=build.failing(bad))
    )

    def job(n):
        return run(
            source,
            backends[n],
            results=build.folder / f"results-{n}.jsonl",
            limits=Limits(requests_per_batch=2),
            policy=policy,
        )

    undisturbed = job(0).results.read_bytes()
    n = 0
    for n in build.killed_at_every_write(monkeypatch, moment, job):
        report = job(n)
        assert (report.ok, report.rounds, report.resent) == (4, 2, 3)
        assert build.times_sent(backends[n]) == {"id-0": 1, "id-1": 2, "id-2": 3, "id-3": 1}
        content = report.results.read_bytes()
        assert build.masked(content) == build.masked(undisturbed), "a round may begin later"
    assert n > 20


@settings(max_examples=15)
@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from(["gpt-4o", "gpt-4o-mini", "o3"]),
            st.lists(st.sampled_from([500, 429, 400]), max_size=4),
        ),
        min_size=1,
        max_size=20,
    ),
    per_batch=st.integers(1, 6),
    retries=st.integers(0, 3),
    blank=st.sampled_from([0.0, 0.3]),
    lost=st.sampled_from([0.0, 0.3]),
)
def test_any_course_gives_each_line_its_last_result_and_one_account(
    build, lines, per_batch, retries, blank, lost
):
    requests = [build.chat(f"id-{n}", model=model) for n, (model, _) in enumerate(lines)]
    backend = FakeBackend(
        pacing="quick",
        responder=build.failing({f"id-{n}": codes for n, (_, codes) in enumerate(lines)}),
        faults=Faults(blank_lines=blank, lost_lines=lost),
    )
    results = build.folder / f"{len(list(build.folder.iterdir()))}.jsonl"
    report = run(
        build.input(requests),
        backend,
        results=results,
        limits=Limits(requests_per_batch=per_batch),
        policy=Policy(retries=retries, accept_lost=True),
    )
    records = [json.loads(line) for line in results.read_bytes().splitlines()]
    assert [record["custom_id"] for record in records] == [each["custom_id"] for each in requests]
    counts = build.times_sent(backend)
    ledger = [json.loads(line) for line in report.ledger.read_bytes().splitlines()]
    accounts = Counter(account["outcome"] for account in ledger)
    for record, account, (_, codes) in zip(records, ledger, lines, strict=True):
        response = record["response"]
        status = response and response["status_code"]
        assert (account["custom_id"], account["status_code"]) == (record["custom_id"], status)
        assert (account["outcome"] == "ok") == (status == 200)
        tries = counts[record["custom_id"]]
        assert account["round"] == tries - 1
        if not blank and not lost:
            expected = [*codes, 200][: retries + 1]
            stop = next((n for n, code in enumerate(expected) if code in (200, 400)), retries)
            assert (tries, status) == (stop + 1, expected[stop])
    names = ("ok", "failed", "expired", "cancelled", "missing", "invalid")
    assert accounts == Counter({name: getattr(report, name) for name in names})
    assert sum(accounts.values()) == report.lines == len(lines)
