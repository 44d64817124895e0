"""What a service's counts claim and its files hold: every difference has a name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from batchsim.backends import Page
from batchsim.backends.fake import FakeBackend, Faults
from batchsim.errors import JobIncomplete
from batchsim.runner.journal import AnomalyKind
from batchsim.runner.run import Policy, run

ONCE = Policy(retries=0, accept_lost=True)


class Rewriting(FakeBackend):
    """Its result files are what `rewrite` makes of the lines, its counts what `recount` does."""

    def __init__(self, rewrite=None, **counts):
        super().__init__(pacing="quick")
        self.rewrite = rewrite
        self.counts = counts

    def read_file(self, file_id):
        content = b"".join(super().read_file(file_id))
        if self.rewrite is None or b"batch_req_" not in content:
            yield content
            return
        lines = sorted(content.splitlines(), key=lambda line: json.loads(line)["custom_id"])
        yield b"".join(line + b"\n" for line in self.rewrite(lines))

    def retrieve_file(self, file_id):
        return replace(super().retrieve_file(file_id), bytes=0)

    def _lying(self, batch):
        if not batch.status.is_terminal:
            return batch
        return replace(batch, request_counts=replace(batch.request_counts, **self.counts))

    def retrieve_batch(self, batch_id):
        return self._lying(super().retrieve_batch(batch_id))

    def list_batches(self, **options):
        page = super().list_batches(**options)
        return Page(tuple(map(self._lying, page.data)), page.has_more)


def differences_of_job(build, backend, policy=ONCE):
    lines = [build.chat(name) for name in "abcd"]
    report = run(build.input(lines), backend, results=build.results, policy=policy)
    assert build.ids() == list("abcd")
    found = report.differences.get(1, ())
    return report, {each.kind: (each.reported, each.found, each.example) for each in found}


def with_blank_response(line):
    value = json.loads(line)
    value["response"] = {"status_code": 0, "request_id": "", "body": None}
    return json.dumps(value).encode()


def test_results_as_they_should_be_have_none(build):
    report, found = differences_of_job(build, Rewriting())
    assert found == {}
    assert report.all_ok


@pytest.mark.parametrize(
    ("counts", "claim", "expected"),
    [
        ({"total": 7}, AnomalyKind.TOTAL, (7, 4, None)),
        ({"completed": 3}, AnomalyKind.COMPLETED, (3, 4, None)),
        ({"failed": 2}, AnomalyKind.FAILED, (2, 0, None)),
    ],
)
def test_counts_that_lie_are_named(build, counts, claim, expected):
    report, found = differences_of_job(build, Rewriting(**counts))
    assert found == {claim: expected}
    assert report.ok == 4


def test_blank_results_are_named_and_sent_again(build):
    rewritten = []

    def once(lines):
        first = [with_blank_response(lines[0]), *lines[1:]] if not rewritten else lines
        rewritten.append(True)
        return first

    report, found = differences_of_job(build, Rewriting(once), Policy())
    assert found == {AnomalyKind.COMPLETED: (4, 3, None), AnomalyKind.BLANK: (None, 1, "a")}
    assert (report.ok, report.rounds, report.resent) == (4, 1, 1)


def test_doubled_results_are_named_and_a_good_one_beats_a_blank_one(build):
    backend = Rewriting(
        lambda lines: [with_blank_response(lines[0]), lines[0], lines[1], lines[1], *lines[2:]]
    )
    report, found = differences_of_job(build, backend)
    assert report.all_ok
    assert found[AnomalyKind.DOUBLED] == (None, 1, "b")
    assert found[AnomalyKind.CONFLICTING] == (None, 1, "a")
    conflicts = (build.job / "shards" / "0001.conflicts.jsonl").read_bytes().splitlines()
    statuses = [json.loads(line)["response"]["status_code"] for line in conflicts]
    assert statuses == [0, 200]
    assert report.quarantined == 2


def test_missing_foreign_and_unreadable_lines_are_named(build):
    def spoil(lines):
        return [lines[0].replace(b'"a"', b'"z"'), b"{", *lines[1:]]

    report, found = differences_of_job(build, Rewriting(spoil))
    assert found == {
        AnomalyKind.COMPLETED: (4, 3, None),
        AnomalyKind.FOREIGN: (None, 1, "z"),
        AnomalyKind.UNREADABLE: (None, 1, None),
        AnomalyKind.MISSING: (None, 1, "a"),
    }
    assert (report.ok, report.missing, report.quarantined) == (3, 1, 2)
    words = " ".join(each.words for each in report.differences[1])
    assert "1 results are for no line of the batch, such as 'z'" in words


def test_row_141_results_of_another_batch_stop_the_job_and_are_fetched_anew(build):
    def swap(lines):
        return [line.replace(b'"custom_id": "', b'"custom_id": "other-') for line in lines]

    backend = Rewriting(swap)
    source = build.input([build.chat(name) for name in "abcd"])
    for _ in range(2):
        with pytest.raises(JobIncomplete, match="results of another batch, such as 'other-"):
            run(source, backend, results=build.results)
        assert not build.results.exists()
    backend.rewrite = None
    assert run(source, backend, results=build.results).all_ok
    assert len(build.batches_of(backend)) == 1


def test_a_service_that_gives_no_counts_makes_no_false_claims(build):
    _, found = differences_of_job(build, Rewriting(total=0, completed=0, failed=0))
    assert found == {}


def test_faults_of_all_kinds_add_up(build):
    faults = Faults(lost_lines=0.2, doubled_lines=0.2, blank_lines=0.2)
    backend = FakeBackend(seed=3, pacing="quick", faults=faults)
    lines = [build.chat(f"id-{n}") for n in range(60)]
    report = run(build.input(lines), backend, results=build.results, policy=ONCE)
    counts = {each.kind: each.found for each in report.differences[1]}
    assert counts[AnomalyKind.MISSING] == report.missing
    assert report.failed <= counts[AnomalyKind.BLANK] <= report.failed + counts[AnomalyKind.DOUBLED]
    assert counts[AnomalyKind.DOUBLED] == report.quarantined
    assert report.ok + report.failed + report.missing == 60
