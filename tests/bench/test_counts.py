"""No line costs more work than was agreed to: counted, so that no busy machine can fail it."""

import json
from pathlib import Path

import pytest

from bench.counting import ACTIVITIES, KINDS, counted, per_line

AGREED = Path(__file__).with_name("counts.json")
ROOM = 1.03
"""Releases of Python and of libraries may differ by this much."""


@pytest.fixture(scope="module")
def found():
    return per_line()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activity", [each.__name__ for each in ACTIVITIES])
def test_a_line_costs_what_was_agreed_to(found, activity, kind):
    agreed = json.loads(AGREED.read_text("utf-8"))[activity][kind]
    now = found[activity][kind]
    word = "more" if now > agreed else "less"
    assert agreed / ROOM - 0.1 <= now <= agreed * ROOM + 0.1, (
        f"{activity} does {word} for each line than {AGREED.name} says: {now} {kind}, not {agreed}. "
        "If that is intended, and `make bench` agrees, run `make counts`."
    )


def test_counts_repeat(found):
    assert per_line() == found


def test_one_more_call_per_line_is_seen(monkeypatch):
    from batchsim.domain.validation import request_lines

    validate, read = ACTIVITIES[0], request_lines.orjson.loads
    before = counted(validate, 100)
    names = {"read": read}
    exec(compile("def more(line): return read(line)", request_lines.__file__, "exec"), names)
    monkeypatch.setattr(request_lines.orjson, "loads", names["more"])
    assert counted(validate, 100)["calls"] == before["calls"] + 100
