"""--skip-invalid: the good lines run, the invalid ones get records, and nobody is shifted."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import Limits
from batchsim.runner.journal import Journal
from batchsim.runner.planning.plan import InvalidInput
from batchsim.runner.run import Policy, run

INVALID = {
    1: (b"not JSON", None, "invalid_json_line"),
    2: (b"", None, "invalid_json_line"),
    3: (b'{"custom_id": "get", "method": "GET", "url": "/v1/x", "body": {}}', "get", "invalid_"),
    5: (json.dumps({"custom_id": 7}).encode(), None, "missing_required_parameter"),
    8: (b"[" * 100_000, None, "invalid_json_line"),
    9: (b'{"custom_id": "\xff"}', None, "invalid_json_line"),
}


@pytest.fixture
def mixed(build):
    """Ten lines of which six are invalid; one more has an id that was there before."""
    lines = [json.dumps(build.chat(f"id-{n}")).encode() for n in range(10)]
    for n, (content, _, _) in INVALID.items():
        lines[n] = content
    lines.append(json.dumps(build.chat("id-0")).encode())
    build.source.write_bytes(b"\n".join(lines) + b"\n")
    return build.source


def check(build, report):
    records = build.records()
    assert len(records) == 11
    for n, (_, custom_id, code) in INVALID.items():
        assert records[n]["custom_id"] == custom_id
        assert (records[n]["id"], records[n]["response"]) == (None, None)
        assert records[n]["error"]["code"].startswith(code)
    assert records[10]["custom_id"] == "id-0"
    assert records[10]["error"]["code"] == "duplicate_custom_id"
    good = set(range(10)) - set(INVALID)
    assert [records[n]["custom_id"] for n in sorted(good)] == [f"id-{n}" for n in sorted(good)]
    assert (report.lines, report.ok, report.invalid, report.all_ok) == (11, 4, 7, False)
    ledger = [json.loads(line) for line in report.ledger.read_bytes().splitlines()]
    assert [account["line"] for account in ledger] == list(range(1, 12))
    assert Counter(account["outcome"] for account in ledger) == {"ok": 4, "invalid": 7}
    assert {account["batch"] for account in ledger if account["outcome"] == "invalid"} == {None}


@pytest.mark.parametrize("per_batch", [1, 3, 100])
def test_good_lines_run_and_invalid_ones_get_records_in_their_places(build, mixed, per_batch):
    backend = FakeBackend(pacing="quick")
    seen = []
    report = run(
        mixed,
        backend,
        results=build.results,
        limits=Limits(requests_per_batch=per_batch),
        skip_invalid=True,
        observe=seen.append,
    )
    check(build, report)
    assert sum(batch.request_counts.total for batch in build.batches_of(backend)) == 4
    assert (seen[-1].done, seen[-1].failed) == (11, 7)
    assert seen[0].message == "4 lines are valid, 7 are not and are left out"


def test_without_leave_the_whole_input_is_refused(build, mixed, backend):
    with pytest.raises(InvalidInput) as caught:
        run(mixed, backend, results=build.results)
    assert caught.value.count == 7
    assert not build.job.exists()


def test_an_input_without_any_good_line_is_refused(build, backend):
    build.source.write_bytes(b"{}\n[]\n")
    with pytest.raises(InvalidInput):
        run(build.source, backend, results=build.results, skip_invalid=True)
    assert not build.job.exists()


def test_invalid_lines_stay_in_place_over_rounds_and_kills(build, mixed, monkeypatch):
    answers = {"id-4": [500], "id-7": [500, 500]}

    def answer(request):
        codes = answers.get(request.custom_id)
        return (codes.pop(0), {}) if codes else None

    backend = FakeBackend(pacing="quick", responder=answer)
    append = Journal.append

    left = [0]

    def write(self, at, *entries, **options):
        append(self, at, *entries, **options)
        left[0] -= 1
        if not left[0]:
            raise build.Killed

    for n in range(200):
        left[0] = 2 + n % 4
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", write)
            try:
                report = run(
                    mixed,
                    backend,
                    results=build.results,
                    skip_invalid=True,
                    policy=Policy(on_unknown="fence", list_lag=30.0),
                )
                break
            except build.Killed:
                pass
    check(build, report)
    assert (report.rounds, report.resent) == (2, 3)
    totals = [batch.request_counts.total for batch in build.batches_of(backend)]
    assert totals == [1, 2, 4]
