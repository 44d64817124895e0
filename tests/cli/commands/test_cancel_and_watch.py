import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import DAY
from batchsim.errors import AuthenticationFailed, Unavailable
from batchsim.runner.job import JobDirectory
from tests.repository import DEMO_INPUT

RUN = ("run", "--real", "input.jsonl", "-o", "results.jsonl")


@pytest.fixture
def input_of_two_batches(desk) -> None:
    """An input of two batches."""
    first, second, third = DEMO_INPUT.read_text("utf-8").splitlines()
    text = "\n".join([first, second.replace("gpt-3.5-turbo", "gpt-4o-mini"), third])
    (desk / "input.jsonl").write_text(text, "utf-8")


@pytest.fixture
def stop_at(batchsim, input_of_two_batches, real, monkeypatch) -> Callable[..., None]:
    """Begin the job on the service and interrupt it at the n-th call of a method."""

    def run_until(method: str, number: int = 1) -> None:
        whole, calls = getattr(FakeBackend, method), []

        def interrupted(self, *arguments, **options):
            calls.append(method)
            if len(calls) == number:
                raise KeyboardInterrupt
            return whole(self, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(FakeBackend, method, interrupted)
            assert batchsim(*RUN).code == 130

    return run_until


def result_codes(desk: Path) -> list[str]:
    results = [json.loads(line) for line in (desk / "results.jsonl").read_text().splitlines()]
    return [each["error"]["code"] if each["error"] else "ok" for each in results]


def batch_statuses(real: FakeBackend) -> list[str]:
    return [str(batch.status) for batch in real.list_batches().data]


def test_an_interrupted_run_names_what_goes_on(
    batchsim, input_of_two_batches, real, monkeypatch
) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeBackend, "retrieve_batch", interrupted)
    outcome = batchsim(*RUN)
    ids = [batch.id for batch in real.list_batches().data]
    assert outcome.code == 130
    assert "2 batches go on at the service and will be paid:" in outcome.stderr
    assert all(f"  {each} is validating, 0 of " in outcome.stderr for each in ids)
    assert "hint: the same command goes on where this one stopped" in outcome.stderr
    assert "`batchsim cancel results.jsonl.job` ends it and keeps what is done" in outcome.stderr


def test_a_cancelled_job_keeps_what_is_done_and_sends_nothing_more(
    batchsim, desk, real, stop_at
) -> None:
    stop_at("receiving", 2)
    real.clock.advance(3_600)  # the first batch completes
    outcome = batchsim("cancel", "results.jsonl")
    assert outcome.code == 0
    assert "is completed" in outcome.stderr
    assert "marked as cancelled; `batchsim run --real input.jsonl -o results.jsonl`" in (
        outcome.stderr
    )
    assert batchsim(*RUN).code == 1
    assert result_codes(desk) == ["ok", "batch_cancelled", "ok"]
    assert len(real.list_batches().data) == 1


def test_batches_that_run_are_cancelled_at_once(batchsim, desk, real, stop_at) -> None:
    stop_at("retrieve_batch")
    outcome = batchsim("cancel", "results.jsonl", "--json")
    assert outcome.code == 0
    assert outcome.stderr.count("is cancelling") == 2
    assert json.loads(outcome.stdout)["state"] == "stopped"
    assert batch_statuses(real) == ["cancelling", "cancelling"]
    ended = batchsim(*RUN)
    assert ended.code == 1
    assert batch_statuses(real) == ["cancelled", "cancelled"]
    assert result_codes(desk) == ["batch_cancelled"] * 3
    again = batchsim("cancel", "results.jsonl")
    assert again.code == 0
    assert "there is nothing to cancel" in again.stderr


def test_a_runner_at_work_takes_up_the_wish(
    batchsim, desk, real, input_of_two_batches, monkeypatch
) -> None:
    """The wish comes while the runner waits for its first look; it cancels by itself."""
    whole, looks = FakeBackend.retrieve_batch, []

    def wished(self, batch_id):
        if not looks:
            JobDirectory(desk / "results.jsonl.job").cancel_request.touch()
        looks.append(batch_id)
        return whole(self, batch_id)

    monkeypatch.setattr(FakeBackend, "retrieve_batch", wished)
    outcome = batchsim(*RUN)
    assert outcome.code == 1
    assert "the job is cancelled: nothing more is sent" in outcome.stderr
    assert set(batch_statuses(real)) == {"cancelled"}
    assert not (desk / "results.jsonl.job" / "cancel").exists()
    assert batchsim(*RUN).code == 1  # a finished job stays as it is
    assert len(real.list_batches().data) == 2


@pytest.fixture
def lose_answer(batchsim, input_of_two_batches, real, monkeypatch) -> Callable[..., None]:
    """Begin the job; the answer to its second create is lost and then the runner stops."""

    def run_until(*, arrives: bool) -> None:
        create, asked = FakeBackend.create_batch, []

        def lost(self, **options):
            asked.append(options)
            if len(asked) == 1:
                return create(self, **options)
            if arrives:
                create(self, **options)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(FakeBackend, "create_batch", lost)
            outcome = batchsim(*RUN)
            assert outcome.code == 130
            assert "1 batch more may exist and be paid" in outcome.stderr

    return run_until


def test_a_batch_whose_create_got_no_answer_is_found_and_cancelled(
    batchsim, desk, real, lose_answer
) -> None:
    lose_answer(arrives=True)
    assert len(batch_statuses(real)) == 2
    outcome = batchsim("cancel", "results.jsonl")
    assert outcome.code == 0
    assert outcome.stderr.count("is cancelling") == 2
    assert batch_statuses(real) == ["cancelling", "cancelling"]
    assert batchsim(*RUN).code == 1
    assert result_codes(desk) == ["batch_cancelled"] * 3
    assert len(batch_statuses(real)) == 2


def test_a_batch_that_may_exist_is_told_and_looked_for_again(
    batchsim, desk, real, lose_answer
) -> None:
    lose_answer(arrives=False)
    outcome = batchsim("cancel", "results.jsonl", "--json")
    assert outcome.code == 75
    assert "got no answer: a batch may exist, run and be paid" in outcome.stderr
    assert "the same command looks again" in outcome.stderr
    assert json.loads(outcome.stdout)["state"] == "stopped"
    assert batch_statuses(real) == ["cancelling"]


def test_a_list_that_cannot_be_read_leaves_the_doubt(
    batchsim, real, lose_answer, monkeypatch
) -> None:
    lose_answer(arrives=True)

    def broken(*_, **__):
        raise Unavailable("the list is down")

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "list_batches", broken)
        outcome = batchsim("cancel", "results.jsonl")
    assert outcome.code == 75
    assert "a batch may exist" in outcome.stderr
    assert batchsim("cancel", "results.jsonl").code == 0
    assert batch_statuses(real) == ["cancelling", "cancelling"]


def test_without_a_key_the_wish_is_kept(batchsim, desk, real, stop_at, monkeypatch) -> None:
    stop_at("retrieve_batch")

    def no_key(base_url=None):
        raise AuthenticationFailed("there is no API key", status=401, hint="export one")

    with monkeypatch.context() as patch:
        patch.setattr("batchsim.cli.jobs.job.real_backend", no_key)
        outcome = batchsim("cancel", "results.jsonl")
        assert outcome.code == 2
        assert "marked as cancelled, but its batches go on: there is no API key" in outcome.stderr
        with JobDirectory(desk / "results.jsonl.job").locked():
            beside = batchsim("cancel", "results.jsonl")
        assert beside.code == 0
        assert "left to the runner at work" in beside.stderr
    assert set(batch_statuses(real)) == {"validating"}
    assert batchsim(*RUN).code == 1
    assert set(batch_statuses(real)) == {"cancelled"}


def test_what_cannot_be_cancelled_is_told_and_the_others_are(
    batchsim, real, stop_at, monkeypatch
) -> None:
    stop_at("retrieve_batch")
    whole, calls = FakeBackend.cancel_batch, []

    def first_fails(self, batch_id):
        calls.append(batch_id)
        if len(calls) == 1:
            raise Unavailable("not now")
        return whole(self, batch_id)

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "cancel_batch", first_fails)
        outcome = batchsim("cancel", "results.jsonl")
    assert outcome.code == 1
    assert outcome.stderr.count("error: ") == 1
    assert sorted(batch_statuses(real)) == ["cancelling", "validating"]
    assert batchsim(*RUN).code == 1
    assert set(batch_statuses(real)) == {"cancelled"}


def test_a_job_on_the_simulator_is_cancelled_by_its_next_run(batchsim, desk, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    command = ("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "retrieve_batch", interrupted)
        batchsim(*command)
    assert batchsim("cancel", "results.jsonl").code == 0
    assert batchsim(*command).code == 1
    assert result_codes(desk) == ["batch_cancelled"] * 3


@pytest.fixture
def watch_clock(real, monkeypatch):
    """The clock of `watch` is the service's own; `on_sleep` may be set to what
    happens meanwhile.
    """

    class Clock:
        on_sleep = staticmethod(lambda: None)
        now = staticmethod(real.clock.now)

        def sleep(self, seconds):
            real.clock.sleep(seconds)
            self.on_sleep()

    made = Clock()
    monkeypatch.setattr(import_module("batchsim.cli.commands.watch"), "SystemClock", lambda: made)
    return made


def test_watching_a_job_that_nobody_runs_asks_the_service(
    batchsim, real, stop_at, watch_clock
) -> None:
    stop_at("retrieve_batch")
    outcome = batchsim("watch", "results.jsonl")
    assert outcome.code == 75
    assert {batch.status for batch in real.list_batches().data} == {Status.COMPLETED}
    assert "3 of 3 lines done" in outcome.stderr
    assert "hint: `batchsim run --real input.jsonl -o results.jsonl` goes on with it" in (
        outcome.stderr
    )
    assert batchsim(*RUN).code == 0
    again = batchsim("watch", "results.jsonl")
    assert (again.code, again.stderr.splitlines()[-1]) == (0, "finished")


def test_watching_tells_every_change_as_json(batchsim, real, stop_at, watch_clock) -> None:
    stop_at("retrieve_batch")
    told = [json.loads(line) for line in batchsim("watch", "--json").stdout.splitlines()]
    assert told[0]["batches"] == {"validating": 2}
    assert told[-1]["batches"] == {"completed": 2}
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)


def test_watching_goes_on_over_an_outage(batchsim, real, stop_at, watch_clock, monkeypatch) -> None:
    stop_at("retrieve_batch")
    whole, calls = FakeBackend.retrieve_batch, []

    def away_at_first(self, batch_id):
        calls.append(batch_id)
        if len(calls) < 3:
            raise Unavailable("away")
        return whole(self, batch_id)

    monkeypatch.setattr(FakeBackend, "retrieve_batch", away_at_first)
    outcome = batchsim("watch", "results.jsonl")
    assert outcome.stderr.count("; trying again") == 2
    assert "3 of 3 lines done" in outcome.stderr


def test_watching_without_a_key_says_so(batchsim, real, stop_at, monkeypatch) -> None:
    stop_at("retrieve_batch")

    def no_key(base_url=None):
        raise AuthenticationFailed("there is no API key", status=401)

    monkeypatch.setattr("batchsim.cli.jobs.job.real_backend", no_key)
    outcome = batchsim("watch", "results.jsonl")
    assert outcome.code == 75
    assert "the service is not asked: there is no API key" in outcome.stderr


def test_watching_a_runner_at_work_reads_what_it_notes(
    batchsim, desk, real, stop_at, watch_clock, monkeypatch
) -> None:
    """The runner of this test is the lock, and a journal that grows while the watcher sleeps."""
    stop_at("retrieve_batch")
    directory = JobDirectory(desk / "results.jsonl.job")
    asked = []
    monkeypatch.setattr(FakeBackend, "retrieve_batch", lambda *_: asked.append(1))
    holder = directory.locked()
    sleeps = []

    def meanwhile():
        sleeps.append(1)
        if len(sleeps) == 2:
            from batchsim.runner.journal.shard_entries import Observed
            from batchsim.runner.journal.store import Journal

            batch = real.undisturbed.list_batches().data[0]
            with Journal(directory.journal) as journal:
                journal.append(real.clock.now(), Observed(shard=2, batch=batch))
        if len(sleeps) == 4:
            holder.__exit__(None, None, None)
            monkeypatch.setattr("batchsim.cli.jobs.job.Follower.is_real", False)

    watch_clock.on_sleep = meanwhile
    holder.__enter__()
    outcome = batchsim("watch", "results.jsonl")
    assert (outcome.code, len(sleeps), asked) == (75, 4, [])


def test_looking_at_a_job_with_another_key_is_refused(batchsim, real, stop_at, monkeypatch) -> None:
    stop_at("retrieve_batch")
    from batchsim.cli.jobs import job

    backend = job.real_backend()
    monkeypatch.setattr(backend, "account", "another")
    outcome = batchsim("cancel", "results.jsonl")
    assert outcome.code == 2
    assert "begun with another key" in outcome.stderr


def test_a_cancelled_job_whose_batch_may_exist_is_ended_by_a_fence(batchsim, desk, real) -> None:
    """Until then it stays open: a batch that turns up is cancelled by the same command."""
    lost = RequestFault("reply_lost", call="create_batch", nth=1)
    real.set_faults(Faults(requests=(lost,), stale_list_for=2 * DAY))
    (desk / "input.jsonl").write_bytes(DEMO_INPUT.read_bytes())
    begun = batchsim(*RUN, "--alone")
    assert (begun.code, "and creates again" in begun.stderr) == (75, True)
    assert batchsim("cancel", "results.jsonl").code == 75, "a batch may exist"
    open_still = batchsim(*RUN, "--alone")
    assert open_still.code == 75
    assert "it may not exist, or appear later and cost money" in open_still.stderr
    assert "which a late request then lacks, and ends the job" in open_still.stderr
    ended = batchsim(*RUN, "--alone", "--on-unknown", "fence")
    assert ended.code == 1
    assert "and its input file is gone" in ended.stderr
    assert result_codes(desk) == ["batch_cancelled"] * 3
    real.clock.sleep(3 * DAY)
    assert len(batch_statuses(real)) == 1, "no other batch was created"
