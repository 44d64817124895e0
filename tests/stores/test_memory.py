"""What only MemoryStore does: spill, and clean up."""

import gc
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from batchsim.jsonl import BLOCK
from batchsim.stores.memory import ROOM, SMALL_CONTENT, MemoryStore
from batchsim.stores.spool import Spool


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def keep(store, key, content):
    with store.draft() as draft:
        draft.write(content)
        draft.keep(key)


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_small_contents_touch_no_disk(temporary_folder):
    store = MemoryStore()
    keep(store, "a", b"x" * SMALL_CONTENT)
    assert files(temporary_folder) == []


def test_a_large_content_spills(temporary_folder):
    store = MemoryStore()
    keep(store, "a", b"x" * (SMALL_CONTENT + 1))
    assert len(files(temporary_folder)) == 1
    store.drop_content("a")
    assert files(temporary_folder) == []


def test_small_contents_spill_once_there_are_many(temporary_folder):
    store = MemoryStore()
    for number in range(ROOM // SMALL_CONTENT):
        keep(store, str(number), bytes(SMALL_CONTENT))
    assert files(temporary_folder) == []
    keep(store, "more", b"x")
    assert len(files(temporary_folder)) == 1
    store.drop_content("0")
    keep(store, "again room", b"x")
    assert len(files(temporary_folder)) == 1


def test_a_content_that_is_replaced_leaves_no_trace(temporary_folder):
    store = MemoryStore()
    for _ in range(2 * ROOM // SMALL_CONTENT):
        keep(store, "a", bytes(SMALL_CONTENT))
    assert files(temporary_folder) == []
    for _ in range(3):
        keep(store, "b", bytes(SMALL_CONTENT + 1))
    assert len(files(temporary_folder)) == 1


def test_a_spool_holds_no_more_than_a_block_in_memory():
    tracemalloc.start()
    spool = Spool()
    for number in range(200):
        assert spool.append(b"%100000d" % number) == number * 100_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * BLOCK
    assert spool.read(7 * 100_000, 100_000) == b"%100000d" % 7


@pytest.mark.parametrize("ending", ["closed", "forgotten"])
def test_temporary_files_go_with_the_store(temporary_folder, ending):
    store = MemoryStore()
    keep(store, "a", b"x" * (SMALL_CONTENT + 1))
    with store.open_content("a") as stream:
        file = Path(stream.name)
    assert file.is_relative_to(temporary_folder)
    if ending == "closed":
        store.close()
    del store
    gc.collect()
    assert not file.parent.exists()
