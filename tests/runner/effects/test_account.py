"""A key that replaces another: the job is tied to it once somebody says so and it shows its
batches.
"""

from __future__ import annotations

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import JobIncomplete, JournalError, OutcomeUnknown
from batchsim.runner.job import fold
from batchsim.runner.journal.job_entries import AccountChanged
from batchsim.runner.run import Policy, run


def with_account(backend, name):
    backend.account = name
    return backend


@pytest.fixture
def source(build):
    return build.input([build.chat("a")])


def stop_before_download(build, source, backend):
    """A job whose process is killed when it fetches the results of its batch."""

    def fail(number, name):
        return ("before", build.Killed()) if name == "read_file" else None

    wrapped = build.Interrupting(backend, fail)
    wrapped.account = backend.account
    with pytest.raises(build.Killed):
        run(source, wrapped, results=build.results)


def test_the_job_goes_on_with_the_new_key_and_stays_with_it(build, source):
    backend = with_account(FakeBackend(pacing="quick"), "one")
    stop_before_download(build, source, backend)
    with_account(backend, "two")
    with pytest.raises(JournalError, match="another key") as raised:
        run(source, backend, results=build.results)
    assert "--same-account" in raised.value.hint
    assert run(source, backend, results=build.results, policy=Policy(same_account=True)).all_ok
    changes = [entry for _, entry in build.entries() if isinstance(entry, AccountChanged)]
    assert changes == [AccountChanged(account="two")]
    assert fold(build.entries()).started.account == "two"
    assert run(source, backend, results=build.results).all_ok, "it need not be said again"
    with pytest.raises(JournalError, match="another key"):
        run(source, with_account(backend, "one"), results=build.results)
    assert len(build.batches_of(backend)) == 1


def test_saying_so_changes_nothing_for_the_key_that_began(build, source):
    backend = with_account(FakeBackend(pacing="quick"), "one")
    for _ in range(2):
        run(source, backend, results=build.results, policy=Policy(same_account=True))
    assert not any(isinstance(entry, AccountChanged) for _, entry in build.entries())


def test_a_key_that_does_not_show_the_batch_is_refused_all_the_same(build, source):
    stop_before_download(build, source, with_account(FakeBackend(pacing="quick"), "one"))
    stranger = with_account(FakeBackend(pacing="quick"), "two")
    with pytest.raises(JournalError, match="does not show batch_"):
        run(source, stranger, results=build.results, policy=Policy(same_account=True))
    assert not stranger.undisturbed.list_files().data


def test_so_is_one_that_does_not_show_the_file_of_a_create_of_unknown_outcome(build, source):
    def lose(number, name):
        return ("before", OutcomeUnknown("lost")) if name == "create_batch" else None

    wrapped = build.Interrupting(with_account(FakeBackend(pacing="quick"), "one"), lose)
    wrapped.account = "one"
    with pytest.raises(JobIncomplete):
        run(source, wrapped, results=build.results)
    stranger = with_account(FakeBackend(pacing="quick"), "two")
    policy = Policy(same_account=True, on_unknown="fence")
    with pytest.raises(JournalError, match="does not show file-"):
        run(source, stranger, results=build.results, policy=policy)
    assert not stranger.undisturbed.list_files().data
