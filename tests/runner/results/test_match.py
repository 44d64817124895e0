"""Result lines are placed by a short way and a long one: whatever the files hold,
both do the same.
"""

from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsim.domain.lifecycle import Status
from batchsim.runner.job import JobDirectory, ShardState
from batchsim.runner.journal.shard_entries import Downloaded, Source
from batchsim.runner.results import result_lines
from batchsim.runner.results.collect import ForeignResults, collect
from tests.sample_batches import sample_batch

FOLDER = count()
IDS = ["a", "b", "c", "é", '"', "d" * 70]
DETAILS = st.none() | st.fixed_dictionaries(
    {}, optional={"cached_tokens": st.integers(-1, 3), "reasoning_tokens": st.integers(0, 3)}
)
COUNTS = st.integers(0, 9) | st.sampled_from([-1, None, 2.0, 2.5, "3", 1 << 62])
USAGE = st.none() | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"], COUNTS
        ),
        **dict.fromkeys(
            [f"{name}_tokens_details" for name in ("prompt", "completion", "input", "output")],
            DETAILS,
        ),
        "total_tokens": st.just(7),
    },
)


@st.composite
def result_lines_drawn(draw) -> bytes:
    """A line with a result, mostly a usual one."""
    custom_id = draw(st.sampled_from(IDS) | st.sampled_from(["foreign", ""]))
    body = {"id": draw(st.sampled_from(["x", "é", "\ud800", "[{"])), "usage": draw(USAGE)}
    code = draw(st.sampled_from([200, 200, 200, 201, 400, 500, 0, "200", None]))
    response = draw(st.sampled_from([{"status_code": code, "request_id": "r", "body": body}, None]))
    error = draw(st.sampled_from([None, None, {}, {"code": "batch_expired", "message": "m"}]))
    value = {"id": "1", "custom_id": custom_id, "response": response, "error": error}
    if draw(st.booleans()):
        value = dict(reversed(value.items()))
    ascii_only = draw(st.booleans()) or body["id"] == "\ud800"
    return json.dumps(value, ensure_ascii=ascii_only).encode()


CHAT = {
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSE = {
    "input_tokens": 30,
    "output_tokens": 20,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens_details": {"reasoning_tokens": 7},
}


def usual_line(custom_id: str, usage: object) -> bytes:
    """A line as services write nearly all of them."""
    response = {"status_code": 200, "request_id": "r", "body": {"id": "x", "usage": usage}}
    value = {"id": "1", "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(value).encode()


USUAL = st.builds(usual_line, st.sampled_from(IDS), st.sampled_from([CHAT, RESPONSE, None]))

MANGLED = st.sampled_from(
    [
        lambda line: line[:-3],
        lambda line: line.replace(b'"id"', b'"id\xff"', 1),
        lambda line: line.replace(b'"x"', b'"\xff"'),
        lambda line: line.replace(b'"x"', b'"\x01"'),
        lambda line: line.replace(b'"x"', b"NaN"),
        lambda line: line.replace(b'"x"', b"1e999"),
        lambda line: line + b" ",
        lambda line: b"\t" + line + b"\x0b",
        lambda line: line + line,
        lambda line: b"[" + line + b"]",
        lambda line: line.replace(b'"custom_id"', b'"custom_id": "c", "custom_id"'),
    ]
)
ODD = (
    result_lines_drawn()
    | st.builds(lambda mangle, line: mangle(line), MANGLED, USUAL | result_lines_drawn())
    | st.sampled_from([b"", b" ", b"\r", b"null", b"{}", b"\xff", b"\xef\xbb\xbf", b"[" * 2_000])
)


@st.composite
def result_files(draw) -> bytes:
    """A result file: any lines, in any order, with any ends."""
    lines = draw(st.lists(USUAL, max_size=6)) + draw(st.lists(ODD, max_size=4))
    lines += draw(st.lists(st.sampled_from(lines), max_size=2)) if lines else []
    content = draw(st.sampled_from([b"\n", b"\r\n"])).join(draw(st.permutations(lines)))
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return mark + content + draw(st.sampled_from([b"", b"\n", b"\r\n\n"]))


def collect_shard(build, output: bytes, error: bytes | None, status: Status) -> object:
    """All that collecting a shard of IDS leaves behind and tells."""
    folder = build.folder / str(next(FOLDER))
    folder.mkdir()
    directory = JobDirectory(folder / "job", outlasts_power=False)
    (plan,) = build.plan_of([build.chat(each) for each in IDS], folder / "input").shards
    directory.file(1, Source.OUTPUT).parent.mkdir(parents=True)
    held = []
    for source, content in ((Source.OUTPUT, output), (Source.ERROR, error)):
        if content is not None:
            directory.file(1, source).write_bytes(content)
            held.append(Downloaded(shard=1, source=source, file_id="f", bytes=0, sha256=""))
    batch = sample_batch(status=status)
    told: object
    try:
        told = collect(ShardState(plan, batch=batch, files=tuple(held)), IDS, directory)
    except ForeignResults as foreign:
        told = foreign.message
    left = directory.index(1).parent.iterdir()
    return told, {path.name: path.read_bytes() for path in left}


@settings(max_examples=150)
@given(
    output=result_files(),
    error=st.none() | result_files(),
    status=st.sampled_from([Status.COMPLETED, Status.EXPIRED, Status.CANCELLED]),
)
def test_both_ways_leave_the_same_behind(build, output, error, status):
    by_either = collect_shard(build, output, error, status)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_lines, "decode", lambda line: line.no_result_is_usual)
        patch.setattr(result_lines, "NOT_USUAL", AttributeError)
        assert collect_shard(build, output, error, status) == by_either
