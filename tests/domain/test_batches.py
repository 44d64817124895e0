"""The batch object: the API's JSON out, any service's JSON in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.batches import (
    SPELLINGS,
    Batch,
    BatchError,
    RequestCounts,
    Usage,
)
from batchsim.domain.lifecycle import STAMPS, Status

names = st.text(min_size=1)
seconds = st.integers(0, 4_000_000_000)
numbers = st.integers(0, 10**12)

batches = st.builds(
    Batch,
    id=names,
    endpoint=st.text(),
    input_file_id=st.text(),
    created_at=seconds,
    expires_at=st.none() | seconds,
    status=st.sampled_from(Status),
    model=st.none() | names,
    errors=st.lists(
        st.builds(BatchError, names, st.text(), st.none() | names, st.none() | numbers), max_size=3
    ).map(tuple),
    completion_window=names,
    output_file_id=st.none() | names,
    error_file_id=st.none() | names,
    request_counts=st.builds(RequestCounts, numbers, numbers, numbers),
    usage=st.builds(Usage, numbers, numbers, numbers, numbers),
    metadata=st.none() | st.dictionaries(st.text(), st.text(), max_size=2),
    **{stamp: st.none() | seconds for stamp in STAMPS.values() if stamp != "created_at"},
)

# The object of a real batch of April 2024, with the keys that came later.
CREATED = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": None,
    "errors": None,
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "validating",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1713330734,
    "in_progress_at": None,
    "expires_at": 1713417134,
    "finalizing_at": None,
    "completed_at": None,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "usage": {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
    "metadata": None,
}


@given(batches)
def test_a_batch_survives_the_way_through_its_object(batch):
    assert Batch.from_object(batch.to_object()) == batch


def test_a_new_batch_is_written_key_for_key_as_the_api_writes_it():
    written = Batch.from_object(CREATED).to_object()
    assert list(written.items()) == list(CREATED.items())


def test_row_106_errors_are_a_list_of_four_keys():
    error = BatchError("invalid_url", "No.", "url", 3)
    batch = Batch.from_object({**CREATED, "status": "failed"})
    written = Batch(**{**_fields(batch), "errors": (error,)}).to_object()["errors"]
    assert written == {
        "object": "list",
        "data": [{"code": "invalid_url", "message": "No.", "param": "url", "line": 3}],
    }
    assert list(written["data"][0]) == ["code", "message", "param", "line"]


def _fields(batch: Batch) -> dict:
    return {name: getattr(batch, name) for name in Batch.__dataclass_fields__}


@pytest.mark.parametrize("spelling", [*SPELLINGS, *Status])
@pytest.mark.parametrize("shape", [str, str.upper, str.title])
def test_a_status_is_read_in_every_spelling(spelling, shape):
    batch = Batch.from_object({**CREATED, "status": shape(str(spelling))})
    assert batch.status == SPELLINGS.get(str(spelling), spelling)
    assert batch.unknown_status is None


def test_an_unknown_status_is_kept_and_counts_as_live():
    batch = Batch.from_object({**CREATED, "status": "Warming_Up"})
    assert not batch.status.is_terminal
    assert batch.to_object()["status"] == "Warming_Up"


@pytest.mark.parametrize("key", [key for key in CREATED if key not in ("id", "status")])
@pytest.mark.parametrize("value", ["", None, 7, "x", [], {}, [{}], {"data": [7]}, 0.5, True])
def test_a_strange_value_never_keeps_a_batch_from_being_read(key, value):
    batch = Batch.from_object({**CREATED, key: value})
    assert Batch.from_object(batch.to_object()).id == "batch_1"


@pytest.mark.parametrize("key", ["id", "status"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_what_has_no_id_or_status_is_no_batch(key, value):
    with pytest.raises(ValueError, match="not a batch object"):
        Batch.from_object({**CREATED, key: value})


def test_an_empty_file_id_means_none():
    batch = Batch.from_object({**CREATED, "output_file_id": "", "error_file_id": ""})
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_errors_are_read_from_a_bare_list_too():
    batch = Batch.from_object({**CREATED, "errors": [{"code": "c"}, "noise", {"line": 2}]})
    assert batch.errors == (BatchError("c", ""), BatchError("unknown", "", None, 2))


@given(st.lists(st.builds(Usage, numbers, numbers, numbers, numbers)))
def test_usage_adds_up_part_by_part(parts):
    total = sum(parts, Usage())
    for name in Usage._fields:
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)
    assert total.total_tokens == total.input_tokens + total.output_tokens
