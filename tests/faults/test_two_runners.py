"""Two runners on two copies of one job directory: of a shard at most one batch is paid for.

Each runner has a thread of its own, and only one of them moves at a time: when it is about to make
its n-th write to its journal it may be made to wait, for as long as the other takes, or be killed.
The directory is copied when the first runner is about to make its k-th write. So these are
histories
of the model in protocol_model.py, in the production code.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from contextlib import suppress

import pytest

from batchsim.backends.fake import FakeBackend, Faults
from batchsim.errors import BatchsimError, JobIncomplete, UnaccountedBatches
from batchsim.runner.journal import Journal
from batchsim.runner.run import Policy, run
from tests.faults.test_protocol import FATES, PACING, paid_batches

BEGUN = 2
"""The first write that can be the moment of a copy: by then the journal says how the job began."""

CREATED = 6
"""The write that says that the batch is there, in a history in which nothing goes wrong."""


_numbers = itertools.count(1)


class Duel:
    """`first` is copied at its write `copied` and waits at its write `paused`, where `second`
    begins.

    That one waits at its write `back` (None: never) until the first has ended.
    """

    def __init__(self, build, patch, backend, *, copied, paused, back=None, dies=False, **policy):
        self.build, self.patch, self.backend = build, patch, backend
        self.copied, self.paused, self.back, self.dies = copied, paused, back, dies
        self.policy = Policy(**policy)
        self.source = build.input([build.chat("a")])
        self.folder = build.folder / f"duel-{next(_numbers)}"
        self.folder.mkdir()
        self.places = {name: self.folder / f"{name}.job" for name in ("first", "second")}
        self.turns = {name: threading.Semaphore(0) for name in self.places}
        self.writes = dict.fromkeys(self.places, 0)
        self.said = {}
        self.begun = threading.Thread(target=self._take_part, args=("second",), name="second")

    def fight(self):
        """What became of both: a report, or the error that ended the run."""
        append = Journal.append

        def write(journal, at, *entries, **options):
            self._before_write(threading.current_thread().name)
            append(journal, at, *entries, **options)

        first = threading.Thread(target=self._take_part, args=("first",), name="first")
        with self.patch.context() as patched:
            patched.setattr(Journal, "append", write)
            first.start()
            self.turns["first"].release()
            first.join(60)
            if self.begun.ident is not None:
                self.begun.join(60)
        assert not first.is_alive()
        for said in self.said.values():
            if isinstance(said, BaseException) and not isinstance(said, BatchsimError):
                raise said
        return self.said

    def again(self, name):
        """The same command once more, undisturbed."""
        results = self.folder / f"{name}.jsonl"
        return run(
            self.source, self.backend, results=results, job=self.places[name], policy=self.policy
        )

    def _take_part(self, name):
        self.turns[name].acquire()
        other = "second" if name == "first" else "first"
        try:
            self.said[name] = self.again(name)
        except self.build.Killed:
            self.said.pop(name, None)
        except BaseException as error:  # noqa: BLE001 - the thread that joins raises it
            self.said[name] = error
        finally:
            self.turns[other].release()

    def _before_write(self, name):
        self.writes[name] += 1
        if name == "first" and self.writes[name] == self.copied:
            shutil.copytree(self.places["first"], self.places["second"])
        if name == "first" and self.writes[name] == self.paused:
            self.begun.start()
            self.turns["second"].release()
            if self.dies:
                raise self.build.Killed
            self.turns["first"].acquire()
        elif name == "second" and self.writes[name] == self.back:
            self.turns["first"].release()
            self.turns["second"].acquire()


def is_question(said):
    return isinstance(said, JobIncomplete)


def moments_paid_twice(build, patch, faults, moments, **options):
    """The moments at which more than one batch was paid for, and how many histories there were."""
    twice, count = [], 0
    for moment in moments:
        backend = FakeBackend(seed=1, pacing=PACING, faults=faults)
        duel = Duel(build, patch, backend, **moment, **options)
        said = duel.fight()
        count += 1
        backend.clock.sleep(3_600)
        assert paid_batches(backend) or any(map(is_question, said.values())), moment
        for name in duel.places:
            with suppress(JobIncomplete, UnaccountedBatches):  # it asks, or tells
                duel.again(name)
        if len(paid_batches(backend)) > 1:
            twice.append(moment)
    return twice, count


def every_moment():
    for paused in range(BEGUN, CREATED + 2):
        for copied in range(BEGUN, paused + 1):
            for back in (None, *range(3, CREATED + 1)):
                yield {"copied": copied, "paused": paused, "back": back}


def some_moments():
    for paused, dies in itertools.product(range(BEGUN, CREATED + 2), (False, True)):
        for copied in {BEGUN, paused}:
            yield {"copied": copied, "paused": paused, "dies": dies}


def faults_of_create(fate, lag, file_lag=0):
    requests = (FATES[fate],) if FATES[fate] else ()
    return Faults(requests=requests, stale_list_for=lag, file_unseen_for=file_lag)


@pytest.mark.slow
def test_two_runners_pay_once_wherever_the_directory_is_copied_and_whoever_waits(
    build, monkeypatch
):
    """Though no batch is in the list for a quarter of an hour: who came later does not create."""
    twice, count = moments_paid_twice(
        build, monkeypatch, faults_of_create("answered", 900), every_moment()
    )
    assert (twice, count) == ([], 105)


@pytest.mark.slow
@pytest.mark.parametrize("fate", [f for f in FATES if f not in ("answered", "delivered twice")])
def test_two_runners_pay_once_whatever_happens_to_the_create(build, monkeypatch, fate):
    twice, count = moments_paid_twice(
        build, monkeypatch, faults_of_create(fate, 900, 30), some_moments()
    )
    assert (twice, count) == ([], 22)


@pytest.mark.slow
@pytest.mark.parametrize("on_unknown", ["fence", "wait"])
def test_a_copy_neither_fences_nor_waits_for_what_it_did_not_send(build, monkeypatch, on_unknown):
    happens, moments = faults_of_create("reply lost", 30, 30), some_moments()
    twice, _ = moments_paid_twice(build, monkeypatch, happens, moments, on_unknown=on_unknown)
    assert not twice


def test_a_request_that_arrives_twice_is_found_while_that_costs_nothing(build, monkeypatch):
    twice, _ = moments_paid_twice(
        build, monkeypatch, faults_of_create("delivered twice", 0), some_moments()
    )
    assert not twice


def test_a_file_list_that_is_late_for_both_alike_only_delays_them(build, monkeypatch):
    """A runner whose own file is not in the list does not believe what it does not see."""
    moments = [{"copied": 2, "paused": paused} for paused in range(BEGUN, CREATED)]
    twice, _ = moments_paid_twice(
        build, monkeypatch, faults_of_create("answered", 900, 900), moments
    )
    assert not twice


def test_without_the_election_they_pay_twice(build, monkeypatch):
    """That the histories above can fail: the same with runners who were told to be alone."""
    moments = [{"copied": 2, "paused": paused} for paused in (3, CREATED)]
    twice, _ = moments_paid_twice(
        build, monkeypatch, faults_of_create("answered", 900), moments, alone=True
    )
    assert twice == moments
