"""What only DiskStore does: outlive its process, and belong to one owner."""

import errno
import gc
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from batchsim.errors import UsageError
from batchsim.stores.disk import DiskStore

FULL = 2
"""SQLite's number for `PRAGMA synchronous = FULL`: less loses commits when the power fails."""
NORMAL = 1


def keep(store, key, content):
    with store.draft() as draft:
        draft.write(content)
        draft.keep(key)


def test_everything_is_there_after_reopening(tmp_path):
    with DiskStore(tmp_path / "new" / "folder") as store:
        store.save(12.5, {"b": {"x": 1}, "a": {}})
        keep(store, "file-1", b"content")
    with DiskStore(tmp_path / "new" / "folder") as store:
        assert list(store.records()) == [("b", {"x": 1}), ("a", {})]
        assert store.latest == 12.5
        with store.open_content("file-1") as stream:
            assert stream.read() == b"content"


def test_a_second_owner_is_turned_away(tmp_path):
    with DiskStore(tmp_path) as store:
        with pytest.raises(UsageError, match="in use by another process") as refused:
            DiskStore(tmp_path)
        assert refused.value.hint
        store.save(1.0, {"a": {}})
    DiskStore(tmp_path).close()


def test_a_second_process_is_turned_away(tmp_path):
    script = f"from batchsim.stores.disk import DiskStore; DiskStore({str(tmp_path)!r})"
    with DiskStore(tmp_path):
        child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "UsageError" in child.stderr
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_store_that_is_forgotten_lets_the_next_owner_in(tmp_path):
    store = DiskStore(tmp_path)
    del store
    gc.collect()
    DiskStore(tmp_path).close()


def test_a_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []

    def sync(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        assert store.contents() == ([] if len(synced) == 1 else ["file-1"])

    with DiskStore(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", sync)
        with store.draft() as draft:
            draft.write(b"small")
            draft.keep("file-1")
            assert (tmp_path / "contents" / "file-1").read_bytes() == b"small"
    assert synced[0] == len(b"small")
    assert len(synced) == 2  # the content, then its name in the folder


@pytest.mark.parametrize(
    ("put", "remove", "waits"),
    [({"a": {}}, (), True), ({}, ["a"], True), ({"b": {}}, ["a"], True), ({}, (), False)],
)
def test_records_are_on_the_disk_once_they_are_saved_and_a_time_alone_is_not_waited_for(
    tmp_path, opened_databases, put, remove, waits
):
    done = []
    with DiskStore(tmp_path) as store:
        store.save(1, {"a": {}} if waits else {})
        store.save(2, {})
        database = opened_databases["records.sqlite"]
        database.set_trace_callback(done.append)
        store.save(3, put, remove)
        database.set_trace_callback(None)
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = database.execute("PRAGMA synchronous").fetchone()
        assert store.latest == 3
    assert done[-1] == "COMMIT"
    assert (mode, synchronous) == ("wal", FULL if waits else NORMAL)


def test_half_written_contents_are_swept(tmp_path):
    DiskStore(tmp_path).close()
    (tmp_path / "contents" / "1.tmp").write_bytes(b"half")
    with DiskStore(tmp_path) as store:
        assert list((tmp_path / "contents").iterdir()) == []
        keep(store, "file-1", b"whole")
        assert store.contents() == ["file-1"]


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "records.sqlite").write_bytes(b"This is no database. " * 100)
    with pytest.raises(UsageError, match="does not hold a store"):
        DiskStore(tmp_path)
    assert (tmp_path / "records.sqlite").read_bytes().startswith(b"This is no database.")
    (tmp_path / "records.sqlite").unlink()
    DiskStore(tmp_path).close()


@pytest.mark.parametrize("wrong", [{"b": {"n": object()}}, {None: {}}], ids=["value", "key"])
def test_a_save_that_fails_changes_nothing(tmp_path, wrong):
    with DiskStore(tmp_path) as store:
        store.save(1.0, {"a": {"n": 1}})
        with pytest.raises((TypeError, sqlite3.IntegrityError)):
            store.save(2.0, {"a": {"n": 2}, **wrong})
        assert list(store.records()) == [("a", {"n": 1})]
        assert store.latest == 1.0
        store.save(3.0, {"a": {"n": 3}})


def test_records_that_there_is_no_room_for_are_the_disks_error_and_change_nothing(
    tmp_path, opened_databases
):
    with DiskStore(tmp_path) as store:
        store.save(1.0, {"a": {"n": 1}})
        database = opened_databases["records.sqlite"]
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="disk is full") as failed:
            store.save(2.0, {"a": {"n": 2}, "b": {"text": "x" * 100_000}})
        assert failed.value.errno == errno.ENOSPC
        assert list(store.records()) == [("a", {"n": 1})]
        store.save(3.0, {"a": {"n": 3}})
    with DiskStore(tmp_path) as store:
        assert list(store.records()) == [("a", {"n": 3})]


def test_a_commit_that_the_disk_does_not_take_changes_nothing(tmp_path):
    resource = pytest.importorskip("resource")  # Python has the system's signal for it ignored
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with DiskStore(tmp_path) as store:
        store.save(1.0, {"a": {"n": 1}})
        size = (tmp_path / "records.sqlite-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(OSError, match="disk"):
                store.save(2.0, {"a": {"n": 2}})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(store.records()) == [("a", {"n": 1})]
        store.save(3.0, {"a": {"n": 3}})


def test_a_folder_without_room_is_not_called_damaged(tmp_path, read_only_databases):
    DiskStore(tmp_path).close()
    refused = pytest.raises(UsageError, match="cannot be opened: attempt to write a readonly")
    with read_only_databases(), refused as no:
        DiskStore(tmp_path)
    assert "unharmed" in no.value.hint
    DiskStore(tmp_path).close()


def test_a_database_that_cannot_be_opened_is_told_and_keeps_nobody_out(tmp_path):
    (tmp_path / "records.sqlite").mkdir()
    with pytest.raises(UsageError, match="cannot be opened"):
        DiskStore(tmp_path)
    (tmp_path / "records.sqlite").rmdir()
    DiskStore(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot hold a store"):
        DiskStore(tmp_path / "file")


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    DiskStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="a newer version of batchsim wrote it"):
        DiskStore(tmp_path)


def test_another_thread_may_close_it(tmp_path):
    store = DiskStore(tmp_path)
    thread = threading.Thread(target=store.close)
    thread.start()
    thread.join()
    DiskStore(tmp_path).close()
