"""Planning: groups, limits, ranges, errors."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.limits import Limits
from batchsim.errors import InputError
from batchsim.runner.journal.shard_entries import runs
from batchsim.runner.planning.plan import InvalidInput, make_plan
from batchsim.runner.planning.request_lines import custom_id_of
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.planning.sharding import HASHED_TOGETHER, queue


@pytest.mark.parametrize(
    ("limits", "shards"),
    [
        (Limits(requests_per_batch=4), [4, 4, 2]),
        (Limits(requests_per_batch=10), [10]),
        (Limits(input_file_bytes=5 * 157), [5, 5]),
        (Limits(input_file_bytes=5 * 157 - 1), [4, 4, 2]),
        (Limits(enqueued_tokens={"gpt-4o-mini": 30}), [3, 3, 3, 1]),
        (Limits(enqueued_tokens={"gpt-4o": 1}), [10]),
    ],
)
def test_a_shard_keeps_to_each_limit(build, limits, shards):
    lines = [build.chat(f"id-{n}") for n in range(10)]
    assert len(build.jsonl(lines)) == 10 * 157
    plan = build.plan_of(lines, build.source, limits=limits)
    assert [shard.lines for shard in plan.shards] == shards
    assert [shard.shard for shard in plan.shards] == list(range(1, len(shards) + 1))
    assert all(shard.bytes <= limits.input_file_bytes for shard in plan.shards)


def test_embedding_inputs_are_counted_one_by_one(build):
    lines = [build.embedding(f"id-{n}", inputs=3) for n in range(4)]
    limits = Limits(embedding_inputs_per_batch=7)
    assert [shard.lines for shard in build.plan_of(lines, build.source, limits=limits).shards] == [
        2,
        2,
    ]


def test_a_line_whose_tokens_exceed_the_queue_gets_a_shard_of_its_own(build):
    lines = [build.chat("a"), build.chat("b", text="word " * 100), build.chat("c")]
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 20})
    assert [shard.lines for shard in build.plan_of(lines, build.source, limits=limits).shards] == [
        1,
        1,
        1,
    ]


def test_neighbours_take_one_range_and_mixtures_one_per_run(build):
    lines = [build.chat(f"a{n}") for n in range(3)] + [
        build.chat("b", model="gpt-4o"),
        build.chat("a3"),
    ]
    plan = build.plan_of(lines, build.source)
    first, second = plan.shards
    assert (first.model, first.lines) == ("gpt-4o-mini", 4)
    assert [run.first for run in runs(first.ranges)] == [0, 4]
    assert [run.first for run in runs(second.ranges)] == [3]


def test_a_single_group_needs_four_numbers_however_many_lines_it_has(build):
    plan = build.plan_of([build.chat(f"id-{n}") for n in range(1000)], build.source)
    assert len(plan.shards[0].ranges) == 4


@pytest.mark.parametrize("length", [1, 2_000, HASHED_TOGETHER - 1, HASHED_TOGETHER])
def test_a_fingerprint_is_the_hash_of_a_shards_lines(build, length):
    lines = [
        build.chat(f"{n}", text="x" * length, model=("gpt-4o", "o3")[n % 3 // 2]) for n in range(40)
    ]
    for shard in build.plan_of(lines, build.source, limits=Limits(requests_per_batch=17)).shards:
        content = build.source.read_bytes()
        mine = b"".join(content[run.begin : run.end] for run in runs(shard.ranges))
        assert shard.fingerprint == hashlib.sha256(mine).hexdigest()
        assert (shard.bytes, shard.lines) == (len(mine), mine.count(b"\n"))


def test_the_same_input_gives_the_same_plan_and_another_byte_another_fingerprint(build):
    lines = [build.chat("a"), build.chat("b")]
    plan = build.plan_of(lines, build.source)
    assert build.plan_of(lines, build.source) == plan
    other = build.plan_of([build.chat("a"), build.chat("b", text="hallo")], build.source)
    assert other.shards[0].fingerprint != plan.shards[0].fingerprint


def test_a_missing_final_newline_makes_no_difference_to_what_is_sent(build):
    whole = build.jsonl([build.chat("a"), build.chat("b")])
    plans = [make_plan(io.BytesIO(content)) for content in (whole, whole[:-1])]
    assert plans[0].shards == plans[1].shards
    assert plans[0].bytes == plans[1].bytes + 1


def test_all_errors_are_counted_and_the_first_are_kept(build):
    lines = [build.chat("same")] * 5
    with pytest.raises(InvalidInput) as caught:
        build.plan_of(lines, build.source)
    assert caught.value.count == 4
    assert [error.line for error in caught.value.errors] == [2, 3, 4, 5]
    assert {error.code for error in caught.value.errors} == {"duplicate_custom_id"}
    assert "(and 3 more errors)" in caught.value.message
    with pytest.raises(InvalidInput, match=r"\(and 1 more error\)"):
        build.plan_of(lines[:3], build.source)
    assert caught.value.place == f"{build.source}:2"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(input_file_bytes=100), "line_too_long"),
        (Limits(embedding_inputs_per_batch=2), "too_many_inputs"),
    ],
)
def test_a_line_that_fits_no_batch_is_an_error(build, limits, code):
    with pytest.raises(InvalidInput) as caught:
        build.plan_of([build.embedding("a", inputs=3)], build.source, limits=limits)
    assert [error.code for error in caught.value.errors] == [code]


def test_a_line_too_long_to_be_read_is_an_error_with_its_place(build):
    lines = [build.chat("a"), build.chat("b", text="x" * 2_000_000)]
    with pytest.raises(InputError) as caught:
        build.plan_of(lines, build.source, limits=Limits(line_bytes=1000))
    assert caught.value.place == f"{build.source}:2"


def test_a_dated_model_waits_in_the_queue_of_its_alias():
    limits = Limits(enqueued_tokens={"gpt-4o-mini": 1})
    assert queue(limits, "gpt-4o-mini-2024-07-18") == "gpt-4o-mini"
    assert queue(limits, "gpt-4o") is None
    assert queue(limits, None) is None


@pytest.mark.parametrize(
    "content",
    [
        b'{"custom_id": "x", "body": {"custom_id": "y"}}',
        b' {\t"custom_id":"x"}',
        b'{"body": {"custom_id": "y"}, "custom_id": "x"}',
        b'{"custom_id": "\\u0078"}',
    ],
)
def test_the_custom_id_is_found_wherever_it_stands(content):
    assert custom_id_of(content) == "x"


@given(
    custom_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), escape=st.booleans()
)
def test_any_custom_id_is_read_as_json_reads_it(custom_id, escape):
    content = json.dumps({"custom_id": custom_id, "body": {}}, ensure_ascii=escape).encode()
    assert custom_id_of(content) == custom_id


@given(
    models=st.lists(st.sampled_from(["gpt-4o", "gpt-4o-mini", "o3"]), min_size=1, max_size=30),
    per_batch=st.integers(1, 8),
    ended=st.booleans(),
    piece=st.integers(1, 300),
)
def test_shards_partition_the_lines_and_are_read_back_byte_for_byte(
    build, models, per_batch, ended, piece
):
    lines = [build.chat(f"id-{n}", model=model) for n, model in enumerate(models)]
    content = build.jsonl(lines)
    build.source.write_bytes(content if ended else content[:-1])
    with build.source.open("rb") as stream:
        plan = make_plan(stream, limits=Limits(requests_per_batch=per_batch))
    every = []
    for shard in plan.shards:
        with ShardContent(build.source, shard) as raw:
            stream = raw.buffered()
            sent = b""
            while block := stream.read(piece):
                sent += block
            assert stream.seek(0, 2) == len(sent) == shard.bytes
        sent_lines = sent.splitlines(keepends=True)
        assert len(sent_lines) == shard.lines <= per_batch
        assert {json.loads(line)["body"]["model"] for line in sent_lines} == {shard.model}
        every += sent_lines
    assert sorted(every) == sorted(content.splitlines(keepends=True))
