"""What every store promises."""

import pytest

from batchsim.stores.memory import ROOM, SMALL_CONTENT


def keep(store, key, *pieces):
    with store.draft() as draft:
        for piece in pieces:
            draft.write(piece)
        draft.keep(key)


def read(store, key):
    with store.open_content(key) as stream:
        return stream.read()


def test_a_new_store_is_empty(store):
    assert list(store.records()) == []
    assert store.contents() == []
    assert store.latest is None


def test_records_come_back_in_the_order_of_their_first_put(store):
    value = {"a": [1, 2.5, None, True, "日本😀\u2028"], "b": {"c": -(2**53)}}
    store.save(1.0, {"z": value, "a": {}})
    store.save(2.0, {"m": {}})
    store.save(3.0, {"z": {"new": 1}})
    assert list(store.records()) == [("z", {"new": 1}), ("a", {}), ("m", {})]
    store.save(4.0, {"z": value}, remove=["a", "never there"])
    assert list(store.records()) == [("z", value), ("m", {})]


def test_a_removed_record_put_again_comes_last(store):
    store.save(1.0, {"a": {}, "b": {}})
    store.save(2.0, {}, remove=["a"])
    store.save(3.0, {"a": {}})
    assert [key for key, _ in store.records()] == ["b", "a"]


def test_the_latest_time_never_goes_back(store):
    store.save(1_767_225_600.25, {})
    store.save(5.0, {})
    assert store.latest == 1_767_225_600.25


@pytest.mark.parametrize("size", [0, 1, SMALL_CONTENT, SMALL_CONTENT + 1, 3 << 20])
def test_a_content_is_what_was_written(store, size):
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    keep(store, "file-1", content[: size // 3], content[size // 3 :])
    assert read(store, "file-1") == content
    with store.open_content("file-1") as stream:
        stream.seek(size // 2)
        assert stream.read() == content[size // 2 :]
    assert store.contents() == ["file-1"]


@pytest.mark.parametrize("size", [10, SMALL_CONTENT + 1])
def test_a_draft_that_is_not_kept_leaves_nothing(store, size):
    def write(count):
        with store.draft() as draft:
            draft.write(bytes(size))
            return size // count

    write(1)
    with pytest.raises(ZeroDivisionError):
        write(0)
    assert store.contents() == []
    with pytest.raises(KeyError):
        store.open_content("file-1")


@pytest.mark.parametrize("size", [10, SMALL_CONTENT + 1])
def test_who_reads_a_dropped_content_reads_on(store, size):
    keep(store, "file-1", b"a" * size)
    with store.open_content("file-1") as stream:
        store.drop_content("file-1")
        assert stream.read() == b"a" * size
    assert store.contents() == []
    store.drop_content("file-1")


def test_drafts_do_not_disturb_each_other(store):
    with store.draft() as first, store.draft() as second:
        first.write(b"1" * SMALL_CONTENT)
        second.write(b"2")
        first.write(b"1")
        second.keep("b")
        first.keep("a")
    assert read(store, "a") == b"1" * (SMALL_CONTENT + 1)
    assert read(store, "b") == b"2"


def test_a_content_can_be_replaced(store):
    keep(store, "a", b"old" * SMALL_CONTENT)
    keep(store, "a", b"new")
    assert read(store, "a") == b"new"


def test_many_small_contents_are_all_kept(store):
    count = ROOM // SMALL_CONTENT + 5
    for number in range(count):
        keep(store, f"file-{number}", number.to_bytes(4, "big") * (SMALL_CONTENT // 4))
    assert sorted(store.contents()) == sorted(f"file-{number}" for number in range(count))
    assert read(store, f"file-{count - 1}")[:4] == (count - 1).to_bytes(4, "big")


def test_closing_twice_is_closing_once(store):
    keep(store, "a", b"x" * SMALL_CONTENT * 2)
    store.close()
    store.close()
