"""Stopped before each operation on the disk and on the network there is: the next run finishes.

Stopping before an operation is the same as stopping after the one before it, so that one loop over
all operations covers every moment. Operations are the requests to the service, what SQLite commits,
and every sync and rename; those added later are counted by themselves.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import Limits
from batchsim.runner.journal import Journal
from batchsim.runner.policy import Polling
from batchsim.runner.run import Policy, run
from tests.campaigns import sized

SHARDS, LINES = 5, 10
LIMITS = Limits(requests_per_batch=LINES // SHARDS)
POLICY = Policy(on_unknown="fence", list_lag=30, polling=Polling(search=10))
STEPS_OF_A_CREATE = 3
"""Operations from the written intent to the request, after which a batch has to be looked for."""

ANSWERS = {f"id-{n}": f"answer {n}" for n in range(LINES)}


class Operations:
    """Counts every operation, and ends the process before the n-th."""

    def __init__(self, stop, patch):
        self.seen, self.kill_at, self.stop = [], None, stop
        for holder, name in (
            (os, "fsync"),
            (Path, "replace"),
            (Path, "unlink"),
            (Journal, "append"),
        ):
            patch.setattr(holder, name, self.counted(f"disk: {name}", getattr(holder, name)))

    def counted(self, name, real):
        def call(*arguments, **options):
            self.count(name)
            return real(*arguments, **options)

        return call

    def count(self, name):
        self.seen.append(name)
        if len(self.seen) == self.kill_at:
            raise self.stop


@pytest.mark.slow
def test_stopped_before_every_operation_of_five_shards(build, monkeypatch):
    source = build.input([build.chat(name) for name in ANSWERS])
    operations = Operations(build.Killed, monkeypatch)
    count_call = lambda number, name: operations.count(f"network: {name}")  # noqa: E731 - one expression
    undisturbed, different = undisturbed_results(build, source), 0
    every_shard = [f"{n + 1}/{SHARDS}" for n in range(SHARDS)]
    for n in itertools.count(1):
        backend = fresh_backend()
        results = build.folder / f"results-{n}.jsonl"
        again = lambda b=backend, r=results: run(  # noqa: E731 - it is called three times
            source, build.Interrupting(b, count_call), results=r, limits=LIMITS, policy=POLICY
        )
        operations.seen, operations.kill_at = [], n
        try:
            again()
            break
        except build.Killed:
            operations.kill_at = None
        report = again()
        content = results.read_bytes()
        assert report.all_ok, f"killed before operation {n}, {operations.seen[n - 1]}"
        assert build.paid_by_shard(backend) == every_shard
        assert build.answers_in(content) == ANSWERS
        assert content == build.service_lines(backend, ANSWERS), (
            "the service's own bytes, in the order of the input"
        )
        assert build.masked(content) == build.masked(undisturbed), "but for ids and times"
        different += content != undisturbed
        if n % 10 == 1:
            again()
            assert results.read_bytes() == content
    kinds = {name.partition(":")[0] for name in operations.seen}
    assert kinds == {"disk", "network"}
    assert n > 100
    assert different <= SHARDS * STEPS_OF_A_CREATE, "only where a batch had to be made later"


def fresh_backend():
    return FakeBackend(seed=1, pacing="quick", responder=ANSWERS)


def undisturbed_results(build, source):
    results = build.folder / "undisturbed.jsonl"
    run(source, fresh_backend(), results=results, limits=LIMITS, policy=POLICY)
    return results.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="runners are forked")
def test_killed_by_a_signal_against_a_server():
    """A short portion of what `python tests/faults/kill_runs.py --kills 200` does."""
    program = Path(__file__).with_name("kill_runs.py")
    command = [
        sys.executable,
        str(program),
        "--kills",
        str(sized(full=200, sample=6)),
        "--seed",
        "3",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1_800)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 violations" in ended.stdout
