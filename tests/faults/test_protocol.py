"""Exactly one paid batch per shard: what the model promises, and the runner's own code through it.

The figures are counts of histories, not chances: every fate of the requests, every kill and every
staleness of the list within the model's budget.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing, RequestFault
from batchsim.domain.lifecycle import Status
from batchsim.errors import JobIncomplete
from batchsim.runner.journal import Journal
from batchsim.runner.policy import Polling
from batchsim.runner.run import Policy, run
from tests.faults import protocol_model
from tests.faults.protocol_model import PROTOCOLS, Budget, explore, one_history, runner

FIGURES = {
    "naive": (546, 525, 5, 0),
    "stop": (111, 0, 1, 42),
    "wait": (763, 21, 2, 0),
    "fence": (2_349, 106, 2, 0),
    "fence, list never late by 10 minutes": (1_976, 0, 1, 0),
    "fence, a deleted file is no obstacle": (1_594, 296, 2, 0),
    "stop, requests may arrive twice": (163, 23, 2, 42),
    "  and the list is late by 30 s at most": (109, 8, 2, 22),
}
"""By protocol: histories, those that pay twice, the most batches paid for, those that ask a person.

The guide shows all of them, two runners included, and its own test runs the model for that."""


@pytest.mark.parametrize("name", FIGURES, ids=str.strip)
def test_the_model_shows_what_each_protocol_pays(name):
    policy, budget, process = PROTOCOLS[name]
    seen = explore(policy, budget, process)
    assert (seen.histories, seen.paid_twice, seen.most_paid, seen.asked) == FIGURES[name]
    assert not seen.unpaid, "a history ended without a batch and asked nobody"


FATES = {
    "answered": None,
    "lost": RequestFault("reset", call="create_batch", nth=1),
    "reply lost": RequestFault("reply_lost", call="create_batch", nth=1),
    "late by 90 s": RequestFault("late", call="create_batch", nth=1, seconds=90),
    "late by 20 min": RequestFault("late", call="create_batch", nth=1, seconds=1_200),
    "delivered twice": RequestFault("duplicated", call="create_batch", nth=1),
    "500 after effect": RequestFault("error_after_effect", call="create_batch", nth=1),
}
LAGS = (0, 30, 900)
PACING = Pacing(validating=60, running=120, running_per_line=0, finalizing=5, spread=0)


def paid_batches(backend):
    """The batches that cost money: all but those that ended before a line ran."""
    void = (Status.FAILED, Status.CANCELLED)
    batches = backend.undisturbed.list_batches(limit=100).data
    return [b for b in batches if b.status not in void or b.request_counts.completed]


class History:
    """One job of one line, whose create meets a fate, killed at its n-th write of the journal."""

    def __init__(self, build, monkeypatch, fate, lag, on_unknown):
        faults = Faults(requests=(FATES[fate],) if FATES[fate] else (), stale_list_for=lag)
        self.backend = FakeBackend(seed=1, pacing=PACING, faults=faults)
        self.build, self.patch = build, monkeypatch
        # Who waits for what never comes searches the list for a day.
        polling = Polling(search=600.0) if (fate, on_unknown) == ("lost", "wait") else Polling()
        self.policy = Policy(on_unknown=on_unknown, polling=polling)
        self.asked = False

    def play(self, number):
        """Whether the kill came."""
        results = self.build.folder / f"results-{number}.jsonl"
        source = self.build.input([self.build.chat("a")])
        killed = self._run(source, results, kill_at=number)
        for _ in range(3):
            if not killed and (self.asked or results.exists()):
                break
            self.backend.clock.advance(5)
            self._run(source, results, kill_at=None)
        self.backend.clock.advance(40_000)
        if not self.asked:
            assert results.exists()
        return killed

    def _run(self, source, results, kill_at):
        append, writes = Journal.append, itertools.count(1)
        stop = self.build.Killed

        def write(journal, at, *entries, **options):
            if next(writes) == kill_at:
                raise stop
            append(journal, at, *entries, **options)

        with self.patch.context() as patched:
            patched.setattr(Journal, "append", write)
            try:
                run(source, self.backend, results=results, policy=self.policy)
            except stop:
                return True
            except JobIncomplete as error:
                self.asked = "no answer came" in error.message
                if not self.asked:
                    raise
        return False


def kills_paid_twice(build, monkeypatch, fate, lag, on_unknown):
    """How often the code paid more than once, over every kill; the number of kills."""
    twice = []
    for number in itertools.count(1):
        history = History(build, monkeypatch, fate, lag, on_unknown)
        killed = history.play(number)
        count = len(paid_batches(history.backend))
        if not history.asked:
            assert count >= 1
        if count > 1:
            twice.append(number)
        if not killed:
            return twice, number
    raise AssertionError("there is always a history that no kill ends")


@pytest.mark.slow
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("fate", FATES)
def test_stop_never_pays_twice_whatever_happens_to_the_create(build, monkeypatch, fate, lag):
    twice, kills = kills_paid_twice(build, monkeypatch, fate, lag, "stop")
    assert kills > 6
    if fate == "delivered twice" and lag == 900:
        assert twice, "a twin that the list does not show cannot be cancelled in time"
    else:
        assert not twice


@pytest.mark.slow
@pytest.mark.parametrize("on_unknown", ["fence", "wait"])
@pytest.mark.parametrize("lag", [30])
@pytest.mark.parametrize("fate", [fate for fate in FATES if fate != "answered"])
def test_fence_and_wait_pay_once_while_the_list_settles_in_time(
    build, monkeypatch, fate, lag, on_unknown
):
    twice, _ = kills_paid_twice(build, monkeypatch, fate, lag, on_unknown)
    assert not twice


def test_a_fence_is_beaten_by_a_list_that_is_later_than_the_window(build, monkeypatch):
    """What the model says of it, by the code itself: reply lost, absent for longer
    than it settles.
    """
    history = History(build, monkeypatch, "reply lost", 900, "fence")
    history.backend.set_faults(
        Faults(
            requests=(RequestFault("reply_lost", call="create_batch", nth=1),), stale_list_for=4_000
        )
    )
    history.policy = Policy(on_unknown="fence")
    history.play(10**9)
    batches = history.backend.undisturbed.list_batches(limit=100).data
    assert len(batches) == 2
    first = batches[-1]
    assert first.status is Status.FAILED, "it was still validating when its file was deleted"
    assert len(paid_batches(history.backend)) == 1


def test_one_history_of_the_model_replays():
    oracle_choices = explore("fence", Budget(fence_holds=False)).example
    from tests.faults.protocol_model import Oracle

    world, _ = one_history(Oracle(oracle_choices), Budget(fence_holds=False), "fence", runner)
    assert len(world.paid()) > 1


def test_a_claim_shorter_than_the_list_is_late_is_none(monkeypatch):
    """That the wait is what parts two runners: with half of it they pay twice."""
    monkeypatch.setattr(protocol_model, "CLAIM", 20)
    budget = replace(protocol_model.TWO_FAULTS, kills=0, file_lags=(0, 30))
    assert explore("stop", budget).paid_twice
