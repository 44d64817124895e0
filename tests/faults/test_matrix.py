"""Rows of the fault matrix of the runner, each by the name of its row.

Rows that other files cover: kills and power loss (test_every_operation, test_crash, kill_runs), the
fates of the create (test_protocol); and of tests/runner downloads (effects/test_download), costs
(schedule/test_budget), queues (job/test_token_queues) and results (results/test_collect).
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat

import pytest

from batchsim.backends.fake import FakeBackend, Faults, Pacing, RequestFault
from batchsim.clock import SystemClock
from batchsim.domain.limits import DAY, Limits
from batchsim.errors import (
    AuthenticationFailed,
    JobIncomplete,
    JournalError,
    OutcomeUnknown,
    UnaccountedBatches,
)
from batchsim.runner.job import filesystem, fold
from batchsim.runner.job.remote_names import metadata_of
from batchsim.runner.journal import Journal
from batchsim.runner.journal.shard_entries import CreateNotFound, CreateUnknown
from batchsim.runner.policy import Polling
from batchsim.runner.run import Policy, run

LIMITS = Limits(requests_per_batch=2)
SHARDS = 3
SLOW = Pacing(validating=60, running=600, running_per_line=0, spread=0)


@pytest.fixture
def source(build):
    return build.input([build.chat(f"id-{n}") for n in range(2 * SHARDS)])


def finish(build, source, backend, **policy):
    report = run(source, backend, results=build.results, limits=LIMITS, policy=Policy(**policy))
    assert report.all_ok
    assert build.ids() == [f"id-{n}" for n in range(2 * SHARDS)]
    return report


EACH_ONCE = [f"{n + 1}/{SHARDS}" for n in range(SHARDS)]

CREATE = {"call": "create_batch", "nth": 2}
UPLOAD = {"call": "upload_file", "nth": 2}
READS = {"call": "read", "nth": (3, 5, 6, 9)}


@pytest.mark.parametrize("where", [CREATE, UPLOAD, READS], ids=["create", "upload", "reads"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"fault": "unreachable"}, id="connect refused"),
        pytest.param({"fault": "reset"}, id="reset"),
        pytest.param({"fault": "error", "status": 502, "html": True}, id="proxy 502"),
        pytest.param({"fault": "error", "status": 500}, id="500 with body"),
        pytest.param({"fault": "garbled"}, id="200 with HTML"),
        pytest.param({"fault": "error", "status": 429}, id="429 without Retry-After"),
        pytest.param({"fault": "error", "status": 429, "retry_after": 9_999}, id="429 of 9999 s"),
        pytest.param({"fault": "error", "status": 429, "retry_after": "date:30"}, id="429 a date"),
        pytest.param({"fault": "error", "status": 429, "retry_after": "soon"}, id="429 junk"),
        pytest.param({"fault": "error", "status": 429, "retry_after": -5}, id="429 negative"),
    ],
)
def test_a_request_that_goes_wrong_costs_no_second_batch(build, source, fault, where):
    faults = Faults(requests=(RequestFault(**fault, **where),))
    backend = FakeBackend(pacing="quick", faults=faults)
    finish(build, source, backend, on_unknown="fence")
    assert build.paid_by_shard(backend) == EACH_ONCE


@pytest.mark.parametrize("faults", [{"stale_list_for": 300}, {"unsorted_list": True}])
def test_list_stale_or_unsorted(build, source, faults):
    lost = RequestFault("reply_lost", call="create_batch", nth=(1, 2))
    backend = FakeBackend(pacing=SLOW, faults=Faults(requests=(lost,), **faults))
    finish(build, source, backend)
    assert build.paid_by_shard(backend) == EACH_ONCE


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_the_service_s_clock_is_a_day_off(build, source, ahead):
    lost = RequestFault("reply_lost", call="create_batch", nth=(1, 2))
    backend = FakeBackend(pacing=SLOW, faults=Faults(requests=(lost,), clock_ahead_by=ahead))
    finish(build, source, backend)
    assert build.paid_by_shard(backend) == EACH_ONCE


def test_a_twin_is_cancelled_while_it_is_validating(build, source):
    doubled = RequestFault("duplicated", call="create_batch", nth=2)
    backend = FakeBackend(pacing=SLOW, faults=Faults(requests=(doubled,)))
    finish(build, source, backend)
    assert build.paid_by_shard(backend) == EACH_ONCE
    statuses = [str(b.status) for b in backend.undisturbed.list_batches(limit=100).data]
    assert sorted(statuses) == ["cancelled", "completed", "completed", "completed"]
    assert len(fold(build.entries()).shards[2].twins) == 1


class Jumping(SystemClock):
    """A machine's clock that somebody sets; `steady` is not touched by that."""

    def __init__(self):
        self.wall, self.since_boot = 1_767_225_600.0, 500.0

    def now(self):
        return self.wall

    def steady(self):
        return self.since_boot

    def sleep(self, seconds):
        self.wall += seconds
        self.since_boot += seconds


@pytest.mark.parametrize("jump", [DAY, -30.0])
def test_clock_jumps_while_a_create_settles(build, source, jump):
    clock = Jumping()
    backend = FakeBackend(clock=clock, pacing=SLOW)
    first = []

    def lose(number, name):
        if name == "create_batch" and not first:
            first.append(clock.since_boot)
            return "before", OutcomeUnknown("the connection broke")
        if name == "list_batches" and first and len(first) == 1:
            first.append(True)
            clock.wall += jump
        return None

    lossy = build.Interrupting(backend, lose)
    with pytest.raises(JobIncomplete, match="no answer came"):
        run(source, lossy, results=build.results, limits=LIMITS)
    with Journal(build.job / "journal.db") as journal:
        times = {type(entry): at for at, entry in journal.entries()}
    by_wall = times[CreateNotFound] - times[CreateUnknown]
    assert by_wall >= 600
    assert by_wall - jump >= 600, "by the clock that nobody sets"


def test_key_rotated_mid_run(build, source):
    backend = FakeBackend(pacing="quick")
    backend.account = "one"
    finish(build, source, backend)
    backend.account = "two"
    with pytest.raises(JournalError, match="another key, organization or project"):
        run(source, backend, results=build.results, limits=LIMITS)


@pytest.mark.parametrize("call", ["list_files", "list_batches"])
def test_preflight_a_restricted_key_stops_before_anything_is_uploaded(build, source, call):
    backend = FakeBackend(pacing="quick")

    def forbid(number, name):
        refused = AuthenticationFailed("You have insufficient permissions.", status=403)
        return ("before", refused) if name == call else None

    with pytest.raises(AuthenticationFailed, match="insufficient"):
        run(source, build.Interrupting(backend, forbid), results=build.results, limits=LIMITS)
    assert not backend.undisturbed.list_files().data


def test_job_dir_restored_from_old_backup_adopts_what_the_journal_lacks(build, source):
    backend = FakeBackend(pacing=SLOW)
    backup = build.folder / "backup"

    def keep_and_kill(number, name):
        if name == "create_batch" and not backup.exists():
            shutil.copytree(build.job, backup)
        if name == "list_batches" and len(build.batches_of(backend)) == SHARDS:
            raise build.Killed
        return

    with pytest.raises(build.Killed):
        run(
            source, build.Interrupting(backend, keep_and_kill), results=build.results, limits=LIMITS
        )
    shutil.rmtree(build.job)
    backup.rename(build.job)
    finish(build, source, backend)
    assert build.paid_by_shard(backend) == EACH_ONCE
    assert len(build.batches_of(backend)) == SHARDS


def test_second_runner_with_a_copied_lock_cannot_write(build, source):
    backend = FakeBackend(pacing=SLOW)
    taken = []

    def take_over(progress):
        if not taken and progress.batches:
            taken.append(True)
            Journal(build.job / "journal.db").close()

    with pytest.raises(JournalError, match="another runner has taken over"):
        run(source, backend, results=build.results, limits=LIMITS, observe=take_over)
    finish(build, source, backend, on_unknown="fence")
    assert build.paid_by_shard(backend) == EACH_ONCE


def test_p5_batches_that_the_journal_does_not_know_are_told_at_the_end(build, source):
    backend = FakeBackend(pacing="quick")

    def make_another(number, name):
        if name == "read_file" and not made:
            state = state_at()
            file = backend.undisturbed.list_files(purpose="batch").data[0]
            metadata = {**metadata_of(state.started, state.shards[1].plan, 1, SHARDS)}
            made.append(
                backend.create_batch(
                    input_file_id=file.id, endpoint="/v1/chat/completions", metadata=metadata
                ).id
            )
        return

    def state_at():
        from batchsim.runner.journal import JournalReader

        with JournalReader(build.job / "journal.db") as journal:
            return fold(journal.news())

    made = []
    with pytest.raises(UnaccountedBatches, match="its journal did not know") as raised:
        run(
            source,
            build.Interrupting(backend, make_another),
            results=build.results,
            limits=LIMITS,
            policy=Policy(polling=Polling(first=1e6, slowest=1e6)),
        )
    assert made[0] in raised.value.message
    assert build.ids() == [f"id-{n}" for n in range(2 * SHARDS)]


def test_row_109_the_job_directory_is_ours_alone(build, source):
    finish(build, source, FakeBackend(pacing="quick"))
    assert stat.S_IMODE(build.job.stat().st_mode) == 0o700
    for path in build.job.rglob("*"):
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        assert not others or path.name in {"ledger.jsonl"}, path


def test_row_109_a_directory_that_everybody_may_write_to_is_refused(build, source):
    build.job.mkdir()
    build.job.chmod(0o777)
    with pytest.raises(JournalError, match="everybody may write"):
        run(source, FakeBackend(), results=build.results)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_row_109_a_network_file_system_is_refused_unless_allowed(build, source, kind, monkeypatch):
    mounts = build.folder / "mounts"
    mounts.write_text(
        f"21 1 8:1 / / rw - ext4 /dev/sda rw\n22 21 0:5 / {build.folder} rw - {kind} host:/x rw\n"
    )
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    with pytest.raises(JournalError, match=rf"network file system \({kind}\)"):
        run(source, FakeBackend(pacing="quick"), results=build.results)
    finish(build, source, FakeBackend(pacing="quick"), network_files=True)


@pytest.mark.parametrize("name", ["lock", "holder.json"])
def test_row_110_a_lock_that_is_a_link_is_refused_and_not_followed(build, source, name):
    victim = build.folder / "victim"
    victim.write_text("precious")
    build.job.mkdir(mode=0o700)
    (build.job / name).symlink_to(victim)
    with pytest.raises(JournalError, match="is a link"):
        run(source, FakeBackend(), results=build.results)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "shards"])
def test_row_110_a_journal_or_a_folder_of_downloads_that_is_a_link_is_refused(build, source, name):
    victim = build.folder / "victim"
    victim.mkdir() if name == "shards" else victim.touch()
    build.job.mkdir(mode=0o700)
    (build.job / name).symlink_to(victim)
    backend = FakeBackend()
    with pytest.raises(JournalError, match=f"{name} is a link"):
        run(source, backend, results=build.results)
    assert backend.requests.count == 0
    assert not (list(victim.iterdir()) if name == "shards" else victim.read_bytes())


@pytest.mark.slow
def test_t17_hundreds_of_live_shards_take_a_look_a_second_at_most(build):
    backend = FakeBackend(
        pacing=Pacing(running=20_000, running_per_line=0),
        limits=Limits(batches_per_hour=10_000, uploads_per_minute=100_000),
    )
    looks = []

    def note(number, name):
        if name in ("retrieve_batch", "list_batches") and len(looks) < 100_000:
            looks.append((backend.clock.now(), name))
        if backend.clock.now() > start + 3_000:
            raise build.Killed

    start = backend.clock.now()
    source = build.input([build.chat(f"id-{n}") for n in range(300)])
    with pytest.raises(build.Killed):
        run(
            source,
            build.Interrupting(backend, note),
            results=build.results,
            limits=Limits(requests_per_batch=1, batches_per_hour=10_000),
            policy=Policy(max_live=300),
        )
    later = [at for at, _ in looks if at > start + 100]
    assert len(later) > 100
    assert min(b - a for a, b in itertools.pairwise(later)) >= 1.0
    assert not any(name == "retrieve_batch" for _, name in looks)


def test_an_owner_is_told_from_others_by_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(JournalError, match="another user"):
        filesystem.check_private(tmp_path)
