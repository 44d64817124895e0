"""The job directory: spooling lines, and the lock."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from batchsim.errors import InputError, JournalError
from batchsim.runner.job import JobDirectory


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "job").mkdir()
    return JobDirectory(tmp_path / "job")


def test_lines_are_spooled_as_they_come(directory):
    day = dt.date(2026, 1, 1)
    path = directory.spool([{"a": "é"}, '{"b": "é"}\n', b"\xff", "", {"a": None, "b": day}])
    expected = '{"a":"é"}\n{"b": "é"}\n'.encode() + b'\xff\n\n{"a":null,"b":"2026-01-01"}\n'
    assert path.read_bytes() == expected


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["{}", {"a": {1, 2}}], "2"),
        (["{\n}"], "1"),
        ([b"{}\n{}\n"], "1"),
        ([{"temperature": math.nan}], "1"),
        ([{"a": None}, {"a": [{"b": -math.inf}]}], "2"),
        ([{"seed": 10**30}], "1"),
        ([{"custom_id": "\ud800"}], "1"),
    ],
)
def test_what_is_not_one_line_of_json_is_refused_and_nothing_is_left(directory, lines, place):
    with pytest.raises(InputError) as caught:
        directory.spool(lines)
    assert caught.value.place == place
    assert caught.value.hint
    assert not list(directory.path.iterdir())


@pytest.mark.parametrize("name", [None, b"", b"{}", b"\xff", b"[1]"])
def test_a_holder_without_a_name_still_holds(directory, name):
    other = JobDirectory(directory.path)
    with directory.locked():
        holder = directory.path / "holder.json"
        holder.unlink() if name is None else holder.write_bytes(name)
        with pytest.raises(JournalError, match="has not left its name"), other.locked():
            pytest.fail("both are in")


def test_a_lock_that_was_left_behind_holds_nobody_up(directory):
    (directory.path / "lock").write_text("")
    (directory.path / "holder.json").write_text('{"pid": 1, "host": "gone"}')
    with directory.locked():
        pass
    with directory.locked():
        pass
