"""The journal keeps what it was given, and refuses what is not its own."""

from __future__ import annotations

import os
import sqlite3
from array import array
from decimal import Decimal

import pytest

from batchsim.backends.fake import FakeBackend, Faults
from batchsim.domain.batches import Batch, BatchError, RequestCounts, Usage
from batchsim.domain.lifecycle import Status
from batchsim.errors import JobIncomplete, JournalError
from batchsim.runner.journal import Anomaly, AnomalyKind, Journal, job_entries, shard_entries
from batchsim.runner.journal.codec import KINDS, kind_of
from batchsim.runner.policy import Policy
from batchsim.runner.run import run

BATCH = Batch(
    id="batch_1",
    endpoint="/v1/responses",
    input_file_id="file-1",
    created_at=5,
    expires_at=6,
    status=Status.FAILED,
    errors=(BatchError("code", "message", "param", 3),),
    request_counts=RequestCounts(3, 2, 1),
    metadata={"bs_run": "x"},
)
PLANNED = shard_entries.Planned(
    shard=1,
    endpoint="/v1/responses",
    model=None,
    lines=2,
    bytes=9,
    tokens=0,
    fingerprint="ff",
    ranges=array("Q", [0, 1, 0, 2**40]),
)
EVERY_KIND = [
    job_entries.Started(run="ab", service="x", lines=3, bytes=10, metadata={"key": "value"}),
    PLANNED,
    shard_entries.Weighed(shard=1, tokens=3, most_prompt=9, most_output=None),
    shard_entries.AnswerIntended(shard=1, position=0, reserved=Decimal("0.01")),
    shard_entries.AnswerIntended(shard=1, position=1, reserved=None),
    shard_entries.AnswerRecorded(shard=1, position=0, usd=Decimal("0.002"), is_repeated=True),
    job_entries.AccountChanged(account="b"),
    shard_entries.Divided(shard=1),
    shard_entries.CostRecorded(shard=1, usd=Decimal("0.0000012")),
    shard_entries.UploadIntended(shard=1, attempt=1, filename="bs.jsonl"),
    shard_entries.Uploaded(shard=1, file_id="file-1", adopted=True),
    shard_entries.UploadDropped(shard=1, reason="no"),
    shard_entries.CreateIntended(shard=1, file_id="file-1"),
    shard_entries.CreateIntended(
        shard=1, file_id="file-1", request_id="n1", reserved=Decimal("1.50")
    ),
    shard_entries.CreateUnknown(shard=1, reason="lost"),
    shard_entries.CreateRefused(shard=1, reason="no"),
    shard_entries.CreateFenced(shard=1),
    shard_entries.CreateNotFound(shard=1),
    shard_entries.CreateAbandoned(shard=1),
    shard_entries.TwinSeen(shard=1, batch=BATCH),
    shard_entries.Created(shard=1, batch=BATCH),
    shard_entries.Observed(shard=1, batch=BATCH),
    shard_entries.BatchGivenUp(shard=1, reason="full"),
    shard_entries.Downloaded(
        shard=1, source=shard_entries.Source.ERROR, file_id="f", bytes=1, sha256="00"
    ),
    shard_entries.FileGone(shard=1, source=shard_entries.Source.OUTPUT, file_id="f", reason="gone"),
    shard_entries.Collected(
        shard=1, tally=job_entries.Tally(ok=1, missing=1, usage=Usage(1, 2, 3, 4))
    ),
    job_entries.Audited(batches=2, strays=("batch_9",)),
    job_entries.Elected(site="0123abcd", file_id="file-1"),
    shard_entries.CreateLeft(shard=1),
    job_entries.CancelRequested(),
    shard_entries.BatchCancelRequested(shard=1, batch=BATCH),
    job_entries.Finished(bytes=12, tally=job_entries.Tally(ok=2), late=1),
    shard_entries.DownloadDropped(shard=1, source=shard_entries.Source.OUTPUT, reason="words"),
    job_entries.RoundPlanned(round=1),
    job_entries.FinishBegun(),
    shard_entries.RemoteDeleted(shard=1, file_id="file-1"),
    job_entries.Skipped(lines=2, ranges=array("Q", [0, 2, 0, 0])),
    shard_entries.Collected(
        shard=1,
        tally=job_entries.Tally(invalid=1),
        retriable=1,
        differences=(Anomaly(kind=AnomalyKind.BLANK, found=2, reported=3, example="a"),),
    ),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def test_an_entry_is_on_the_disk_once_it_is_appended(path, opened_databases):
    with Journal(path):
        (synchronous,) = opened_databases["journal.db"].execute("PRAGMA synchronous").fetchone()
    assert synchronous == 2  # FULL: less loses commits when the power fails


@pytest.mark.parametrize(("lasts", "expected", "syncs"), [(True, 2, 17), (False, 0, 2)])
def test_a_job_waits_for_the_disk_only_if_its_service_outlives_the_process(
    build, monkeypatch, opened_databases, lasts, expected, syncs
):
    """What a simulated service holds in memory is gone when the power is; so may be the job.

    The results are for the user: they and their name are waited for whatever the service is.
    """
    found, append = set(), Journal.append
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(sync(descriptor)))

    def look(journal, *entries, **options):
        found.update(opened_databases["journal.db"].execute("PRAGMA synchronous").fetchone())
        append(journal, *entries, **options)

    monkeypatch.setattr(Journal, "append", look)
    backend = FakeBackend(pacing="quick", faults=Faults(lost_lines=1.0))
    assert not backend.lasts
    backend.lasts = lasts
    lines, policy = [build.chat("a"), {"custom_id": "b"}], Policy(retries=0, accept_lost=True)
    run(lines, backend, results=build.results, policy=policy, skip_invalid=True)
    assert found == {expected}
    assert len(synced) == syncs


def test_every_kind_of_entry_is_read_back_as_it_was_written(path):
    assert {kind_of(entry) for entry in EVERY_KIND} == set(KINDS)
    with Journal(path) as journal:
        for at, entry in enumerate(EVERY_KIND):
            journal.append(at, entry)
    with Journal(path) as journal:
        assert list(journal.entries()) == list(enumerate(EVERY_KIND))


def test_entries_appended_together_are_there_all_or_not_at_all(path):
    with Journal(path) as journal:
        journal.append(0.0, EVERY_KIND[0])
        with pytest.raises(JobIncomplete, match="cannot be written"):
            journal.append(float("nan"), EVERY_KIND[2], EVERY_KIND[3])  # NOT NULL: NaN is none
    with Journal(path) as journal:
        assert [entry for _, entry in journal.entries()] == EVERY_KIND[:1]


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but long enough" * 30, b"SQLite format 3\0" + b"\xff" * 4096],
)
def test_a_file_that_is_no_database_is_refused_and_kept(path, content):
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_kept(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE customers (name TEXT)")
    database.close()
    content = path.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        Journal(path)
    assert path.read_bytes() == content


def alter(path, statement):
    Journal(path).close()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement)
    database.close()


def test_a_journal_of_a_newer_version_is_refused(path):
    alter(path, "PRAGMA user_version = 2")
    with pytest.raises(JournalError, match="newer batchsim"):
        Journal(path)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("Teleported", "{}"),
        ("Finished", "{}"),
        ("Finished", '{"bytes": 1, "more": 2}'),
        ("Finished", "{"),
        ("Finished", "[]"),
        ("Created", '{"shard": 1, "batch": {"id": ""}}'),
        ("Collected", '{"shard": 1, "tally": {}}'),
    ],
)
def test_an_entry_that_cannot_be_read_is_damage(path, kind, payload):
    alter(path, f"INSERT INTO entries VALUES (1, 0.0, '{kind}', NULL, '{payload}')")
    with Journal(path) as journal, pytest.raises(JournalError, match="damaged"):
        list(journal.entries())


def test_a_damaged_journal_stops_the_runner_before_it_asks_for_anything(build):
    backend = FakeBackend(pacing="quick")
    source = build.input([build.chat("a")])
    run(source, backend, results=build.results)
    journal = build.job / "journal.db"
    content = bytearray(journal.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    journal.write_bytes(content)
    silent = build.Interrupting(backend, lambda number, name: pytest.fail(f"it called {name}"))
    with pytest.raises(JournalError, match="damaged") as caught:
        run(source, silent, results=build.results)
    assert "bs_run" in caught.value.hint
    assert journal.read_bytes() == content


def test_a_journal_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError, match="cannot be opened") as raised:
        Journal(tmp_path / "journal.db")
    assert raised.value.hint == "see that the job directory is yours to read and write"
