"""The file object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.files import UPLOAD_PURPOSES, File, Purpose

names = st.text(min_size=1)
seconds = st.integers(0, 4_000_000_000)
files = st.builds(
    File,
    id=names,
    purpose=st.sampled_from(Purpose).map(str),
    filename=st.text(),
    bytes=st.integers(0, 10**12),
    created_at=seconds,
    expires_at=st.none() | seconds,
    status=names,
    status_details=st.none() | names,
)


@given(files)
def test_a_file_survives_the_way_through_its_object(file):
    assert File.from_object(file.to_object()) == file


def test_a_file_is_written_in_the_order_of_the_wire():
    file = File(id="file-1", purpose="batch", filename="a.jsonl", bytes=3, created_at=5)
    assert list(file.to_object().items()) == [
        ("object", "file"),
        ("id", "file-1"),
        ("purpose", "batch"),
        ("filename", "a.jsonl"),
        ("bytes", 3),
        ("created_at", 5),
        ("expires_at", None),
        ("status", "processed"),
        ("status_details", None),
    ]


@pytest.mark.parametrize("key", ["purpose", "filename", "bytes", "created_at", "expires_at"])
@pytest.mark.parametrize("value", [None, "", [], {}, True])
def test_a_strange_value_never_keeps_a_file_from_being_read(key, value):
    assert File.from_object({"id": "file-1", key: value}).id == "file-1"


@pytest.mark.parametrize("value", [{}, {"id": None}, {"id": ""}, {"id": 7}])
def test_what_has_no_id_is_no_file(value):
    with pytest.raises(ValueError, match="not a file object"):
        File.from_object(value)


def test_outputs_cannot_be_uploaded():
    assert set(Purpose) - set(UPLOAD_PURPOSES) == {
        Purpose.ASSISTANTS_OUTPUT,
        Purpose.BATCH_OUTPUT,
        Purpose.FINE_TUNE_RESULTS,
    }
