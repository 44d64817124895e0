"""Stopped anywhere, by anything: the next run continues, and nothing is made twice.

The loops stop the runner at its first operation, then at its second, and so on, until a run comes
through untouched; so they cover every operation there is, also those added later.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from contextlib import closing

import pytest

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete, OutcomeUnknown, RateLimited, Refused, Unavailable
from batchsim.runner.policy import Backoff, Polling
from batchsim.runner.results import match
from batchsim.runner.run import Policy, run
from tests.job_fixtures import answers_in

LIMITS = Limits(requests_per_batch=2)
LINES = 6
SHARDS = 3
QUICK = Policy(backoff=Backoff(first=1.0), list_lag=30.0, polling=Polling(search=10.0))
DARING = Policy(
    backoff=Backoff(first=1.0), list_lag=30.0, polling=Polling(search=10.0), on_unknown="fence"
)


@pytest.fixture
def source(build):
    return build.input([build.chat(f"id-{n}") for n in range(LINES)])


ANSWERS = {f"id-{n}": f"answer {n}" for n in range(LINES)}


def fresh_backend(pacing="quick"):
    return FakeBackend(seed=1, pacing=pacing, responder=ANSWERS)


SLOW = Pacing(running=300, running_per_line=0)
"""So that batches are asked for one by one."""


def is_complete(results):
    """Every line is there once, in input order, with the answer to its own request."""
    return list(answers_in(results.read_bytes()).items()) == list(ANSWERS.items())


class Undisturbed:
    """The results of a run that nothing disturbed, and how many others differ from them.

    A batch that had to be looked for, and was not found, is made later: its results have other ids
    and times. They alone may differ, and only where the runner stopped at a create.
    """

    def __init__(self, build, source):
        results = build.folder / "undisturbed.jsonl"
        run(source, fresh_backend(), results=results, limits=LIMITS, policy=DARING)
        self.content, self.masked = results.read_bytes(), build.masked
        self.compared = self.different = 0

    def compare(self, results):
        content = results.read_bytes()
        self.compared += 1
        self.different += content != self.content
        assert self.masked(content) == self.masked(self.content)


@pytest.fixture
def undisturbed(build, source):
    return Undisturbed(build, source)


def results_after(build, n):
    return build.folder / f"results-{n}.jsonl"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_call_of_the_backend(build, source, undisturbed, moment):
    for n in itertools.count(1):
        results, inner = results_after(build, n), fresh_backend()
        killed = [False]

        def kill(number, name, n=n, killed=killed):
            killed[0] = killed[0] or number == n
            return (moment, build.Killed()) if number == n else None

        try:
            run(
                source,
                build.Interrupting(inner, kill),
                results=results,
                limits=LIMITS,
                policy=DARING,
            )
        except build.Killed:
            assert not results.exists()
        report = run(source, inner, results=results, limits=LIMITS, policy=DARING)
        assert report.all_ok
        undisturbed.compare(results)
        assert set(build.batches_by_shard(inner).values()) == {1}
        assert len(build.batches_of(inner)) == SHARDS
        if not killed[0]:
            break
    assert n > 3 * SHARDS
    assert undisturbed.different <= SHARDS


@pytest.mark.slow
def test_killed_at_every_call_the_cautious_never_make_a_second_batch(build, source):
    stopped = 0
    for n in itertools.count(1):
        results, inner = results_after(build, n), fresh_backend()

        def kill(number, name, n=n):
            return ("before", build.Killed()) if number == n else None

        interrupting = build.Interrupting(inner, kill)
        try:
            run(source, interrupting, results=results, limits=LIMITS, policy=QUICK)
            break
        except build.Killed:
            pass
        if interrupting.calls[-1] == "create_batch":
            stopped += 1
            with pytest.raises(JobIncomplete, match="no answer came"):
                run(source, inner, results=results, limits=LIMITS, policy=QUICK)
        else:
            assert run(source, inner, results=results, limits=LIMITS, policy=QUICK).all_ok
        assert set(build.batches_by_shard(inner).values()) == {1}
    assert stopped == SHARDS


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_write_of_the_journal(build, source, undisturbed, moment, monkeypatch):
    backends = defaultdict(fresh_backend)

    def job(n):
        results = results_after(build, n)
        return run(source, backends[n], results=results, limits=LIMITS, policy=DARING)

    for n in build.killed_at_every_write(monkeypatch, moment, job):
        assert job(n).all_ok
        undisturbed.compare(results_after(build, n))
        assert len(build.batches_of(backends[n])) == SHARDS
        assert set(build.batches_by_shard(backends[n]).values()) == {1}
    assert undisturbed.compared > 7 * SHARDS
    assert undisturbed.different <= SHARDS


@pytest.mark.slow
def test_killed_at_every_file_put_in_place(build, source, undisturbed, monkeypatch):
    from pathlib import Path

    replace = Path.replace
    for n in itertools.count(1):
        results, inner = results_after(build, n), fresh_backend()
        renames = [0]

        def rename(self, target, n=n, renames=renames):
            renames[0] += 1
            if renames[0] == n:
                raise build.Killed
            return replace(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", rename)
            try:
                run(source, inner, results=results, limits=LIMITS)
                break
            except build.Killed:
                assert not results.exists()
        assert run(source, inner, results=results, limits=LIMITS).all_ok
        undisturbed.compare(results)
        assert not list(build.folder.rglob("*.tmp"))
    assert n > 2 * SHARDS
    assert not undisturbed.different


@pytest.mark.parametrize("policy", [QUICK, DARING])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_row_149_a_create_whose_answer_was_lost_is_found_and_adopted(build, source, times, policy):
    inner = fresh_backend()
    lossy = build.Interrupting(inner, build.reply_lost("create_batch", times))
    assert run(source, lossy, results=build.results, limits=LIMITS, policy=policy).all_ok
    assert is_complete(build.results)
    assert len(build.batches_of(inner)) == SHARDS


def test_an_upload_whose_answer_was_lost_is_found_and_adopted(build, source):
    inner = fresh_backend()
    lossy = build.Interrupting(inner, build.reply_lost("upload_file"))
    assert run(source, lossy, results=build.results, limits=LIMITS).all_ok
    assert len(inner.list_files(purpose="batch").data) == SHARDS


def test_an_upload_that_never_arrived_is_sent_again_under_another_name(build, source):
    inner = fresh_backend()

    def lose_first(number, name):
        lost = OutcomeUnknown("the connection broke")
        is_first = name == "upload_file" and lossy.calls.count(name) == 1
        return ("before", lost) if is_first else None

    lossy = build.Interrupting(inner, lose_first)
    assert run(source, lossy, results=build.results, limits=LIMITS).all_ok
    assert "list_files" in lossy.calls
    assert lossy.calls.count("upload_file") == SHARDS + 1
    tries = [batch.metadata["bs_try"] for batch in build.batches_of(inner)]
    assert sorted(tries) == ["0", "0", "1"]


def test_a_create_that_cannot_be_found_stops_the_job_and_not_the_other_shards(build, source):
    inner = fresh_backend()
    creates = [0]

    def lose_second(number, name):
        creates[0] += name == "create_batch"
        lost = OutcomeUnknown("the connection broke")
        return ("before", lost) if name == "create_batch" and creates[0] == 2 else None

    lossy = build.Interrupting(inner, lose_second)
    with pytest.raises(JobIncomplete, match="shard 2 of 3: a batch over file-") as caught:
        run(source, lossy, results=build.results, limits=LIMITS)
    assert caught.value.message.startswith("1 of 3 shards")
    assert not build.results.exists()
    assert [str(batch.status) for batch in build.batches_of(inner)] == ["completed"] * 2
    with pytest.raises(JobIncomplete, match="shard 2 of 3"):
        run(source, inner, results=build.results, limits=LIMITS)
    assert run(source, inner, results=build.results, limits=LIMITS, policy=DARING).all_ok
    assert set(build.batches_by_shard(inner).values()) == {1}


def test_a_create_that_takes_effect_late_is_adopted_while_it_settles(build, source):
    inner = fresh_backend()
    late = []

    def lose_first_create(number, name):
        if name == "create_batch" and not late:
            late.append(True)
            return "before", OutcomeUnknown("the connection broke")
        if name == "list_batches" and inner.clock.now() - start >= 60 and len(late) == 1:
            late.append(True)
            (file,) = [f for f in inner.list_files().data if "-s0001-" in f.filename]
            inner.create_batch(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                metadata={"bs_shard": "1/3"},
            )
        return None

    start = inner.clock.now()
    lossy = build.Interrupting(inner, lose_first_create)
    assert run(source, lossy, results=build.results, limits=LIMITS).all_ok
    assert len(late) == 2
    assert len(build.batches_of(inner)) == SHARDS


@pytest.mark.parametrize("error", [Unavailable("down"), RateLimited("slow down", retry_after=5)])
@pytest.mark.parametrize("name", ["upload_file", "create_batch", "retrieve_batch", "read_file"])
def test_a_request_that_fails_in_passing_is_tried_again(build, source, name, error):
    inner = fresh_backend(SLOW)
    failures = [0]

    def fail_twice(number, called):
        failures[0] += called == name
        return ("before", error) if called == name and failures[0] <= 2 else None

    flaky = build.Interrupting(inner, fail_twice)
    assert run(source, flaky, results=build.results, limits=LIMITS).all_ok
    assert failures[0] > 2
    assert is_complete(build.results)
    assert len(build.batches_of(inner)) == SHARDS


def test_what_the_service_asks_to_wait_is_waited(build, source):
    inner = fresh_backend()
    times = []

    def refuse_first(number, name):
        if name == "upload_file":
            times.append(inner.clock.now())
        limited = RateLimited("slow down", retry_after=77)
        return ("before", limited) if name == "upload_file" and len(times) == 1 else None

    run(source, build.Interrupting(inner, refuse_first), results=build.results)
    assert times[1] - times[0] == 77


def test_patience_ends_and_the_same_call_goes_on(build, source):
    inner = fresh_backend(SLOW)
    start = inner.clock.now()

    def down(number, name):
        is_live = lossy.calls.count("create_batch") == SHARDS
        looks = name in ("retrieve_batch", "list_batches")
        return ("before", Unavailable("the network is down")) if is_live and looks else None

    lossy = build.Interrupting(inner, down)
    with pytest.raises(JobIncomplete, match="the network is down"):
        run(source, lossy, results=build.results, limits=LIMITS)
    assert 3_600 <= inner.clock.now() - start < 2 * 3_600
    assert run(source, inner, results=build.results, limits=LIMITS).all_ok
    assert is_complete(build.results)


@pytest.mark.parametrize("name", ["upload_file", "create_batch"])
def test_a_refusal_stops_with_the_words_of_the_service(build, source, name):
    inner = fresh_backend()

    def refuse(number, called):
        words = Refused("Billing hard limit has been reached.", code="billing_hard_limit_reached")
        return ("before", words) if called == name else None

    refusing = build.Interrupting(inner, refuse)
    with pytest.raises(JobIncomplete, match="Billing hard limit has been reached"):
        run(source, refusing, results=build.results, limits=LIMITS)
    assert refusing.calls.count(name) == 1, "it went on asking"
    assert run(source, inner, results=build.results, limits=LIMITS).all_ok
    assert len(build.batches_of(inner)) == SHARDS


def test_an_empty_purse_is_not_waited_for(build, source):
    inner = fresh_backend()
    empty = RateLimited("You exceeded your current quota.", code="insufficient_quota")
    refusing = build.Interrupting(
        inner, lambda number, name: ("before", empty) if name == "create_batch" else None
    )
    with pytest.raises(JobIncomplete, match="exceeded your current quota"):
        run(source, refusing, results=build.results, limits=LIMITS)


def test_live_shards_are_collected_although_others_are_refused(build, source):
    inner = fresh_backend()
    creates = [0]

    def refuse_later(number, name):
        creates[0] += name == "create_batch"
        refused = Refused("no more")
        return ("before", refused) if name == "create_batch" and creates[0] > 1 else None

    with pytest.raises(JobIncomplete, match="no more"):
        run(
            source,
            build.Interrupting(inner, refuse_later),
            results=build.results,
            limits=LIMITS,
        )
    assert (build.job / "shards" / "0001.index").exists()


def test_a_batch_that_this_key_does_not_know_is_never_made_again(build, source):
    inner = fresh_backend(SLOW)
    with pytest.raises(build.Killed):
        run(
            source,
            build.Interrupting(
                inner,
                lambda n, name: ("before", build.Killed()) if name == "retrieve_batch" else None,
            ),
            results=build.results,
            limits=LIMITS,
        )
    other_account = fresh_backend(SLOW)
    with pytest.raises(JobIncomplete, match="No batch found"):
        run(source, other_account, results=build.results, limits=LIMITS)
    assert not build.batches_of(other_account)


def test_an_interruption_by_the_user_passes_and_the_job_goes_on(build, source):
    inner = fresh_backend()

    def interrupt(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, inner, results=build.results, limits=LIMITS, observe=interrupt)
    assert run(source, inner, results=build.results, limits=LIMITS).all_ok
    assert len(build.batches_of(inner)) == SHARDS


def test_a_full_disk_stops_the_job_and_the_same_call_goes_on(build, source, monkeypatch):
    inner = fresh_backend()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(match.Matcher, "fill_gaps", full)
        with pytest.raises(JobIncomplete, match="No space left"):
            run(source, inner, results=build.results, limits=LIMITS)
    assert run(source, inner, results=build.results, limits=LIMITS).all_ok


def test_a_file_just_uploaded_may_be_unknown_for_a_moment(build, source):
    inner = fresh_backend()
    creates = [0]

    def unknown_at_first(number, name):
        creates[0] += name == "create_batch"
        refused = Refused("Cannot find file file-abc, or project proj does not have access to it.")
        return ("before", refused) if name == "create_batch" and creates[0] == 1 else None

    lossy = build.Interrupting(inner, unknown_at_first)
    assert run(source, lossy, results=build.results, limits=LIMITS).all_ok
    first = lossy.calls.index("create_batch")
    again = lossy.calls.index("create_batch", first + 1)
    assert "list_batches" in lossy.calls[first:again] or lossy.calls[again - 1] == "upload_file"


@pytest.mark.parametrize(
    ("call", "intent"), [("upload_file", "UploadIntended"), ("create_batch", "CreateIntended")]
)
def test_the_intent_is_on_the_disk_before_the_request_leaves(build, source, call, intent):
    last = []

    def look_into_the_journal(number, name):
        if name == call:
            with closing(sqlite3.connect(build.job / "journal.db")) as database:
                rows = database.execute("SELECT kind, shard FROM entries ORDER BY seq DESC")
                last.append(rows.fetchone())

    spied = build.Interrupting(fresh_backend(), look_into_the_journal)
    assert run(source, spied, results=build.results, limits=LIMITS).all_ok
    assert last == [(intent, 1), (intent, 2), (intent, 3)]
