"""Ids put aside while planning: the same that the input tells, and only for the process that
planned.
"""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import Limits
from batchsim.runner.effects import finish_shard, submit
from batchsim.runner.planning import shard_content
from batchsim.runner.planning.request_lines import custom_ids_in
from batchsim.runner.results.custom_id_spool import LONG, PIECE, CustomIdSpool
from batchsim.runner.run import run

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(st.integers(1, 3), ids)))
def test_each_shard_gets_its_own_ids_in_order(added):
    spool = CustomIdSpool()
    for shard, custom_id in added:
        spool.add(shard, [custom_id])
    for shard in (1, 2, 3):
        spool.finish(shard)
        assert list(spool.of_shard(shard)) == [each for of, each in added if of == shard]


@pytest.mark.parametrize("count", [0, 1, PIECE - 1, PIECE, PIECE + 1, 20 * PIECE])
@pytest.mark.parametrize("length", [8, LONG, LONG + 1])
def test_any_number_of_ids_comes_back(count, length):
    spool = CustomIdSpool()
    added = [f"{number:0{length}}" for number in range(count)]
    for begin in range(0, count, 150):
        spool.add(1, added[begin : begin + 150])
    spool.finish(1)
    assert list(spool.of_shard(1)) == added


def test_a_plan_has_the_ids_that_its_shards_hold(build):
    lines = [
        build.chat(f"{number} \n é", model)
        for number in range(10)
        for model in ("gpt-4o", "gpt-4o-mini")
    ]
    for number, line in enumerate(lines):
        line["custom_id"] += str(number)
    plan = build.plan_of(lines, build.source, limits=Limits(requests_per_batch=3))
    assert len(plan.shards) == 8
    for shard in plan.shards:
        with shard_content.ShardContent(build.source, shard) as of_shard:
            expected = list(custom_ids_in(of_shard.buffered()))
        assert list(plan.custom_ids.of_shard(shard.shard)) == expected


class _Counted(shard_content.ShardContent):
    opened = 0

    def __init__(self, *args):
        type(self).opened += 1
        super().__init__(*args)


@pytest.mark.parametrize("killed", [False, True])
def test_only_a_process_that_did_not_plan_reads_the_input_to_collect(build, monkeypatch, killed):
    """A run reads the shard to upload it; one that continues, to check it and to collect."""
    monkeypatch.setattr(_Counted, "opened", 0)
    for module in (finish_shard, submit):
        monkeypatch.setattr(module, "ShardContent", _Counted)
    build.source.write_bytes(build.jsonl([build.chat(name) for name in "abc"]))
    backend = FakeBackend()
    if killed:
        plan = lambda _, name: ("after", build.Killed()) if name == "read_file" else None  # noqa: E731 - one expression
        with pytest.raises(build.Killed):
            run(build.source, build.Interrupting(backend, plan), results=build.results)
    report = run(build.source, backend, results=build.results)
    assert report.ok == 3
    assert _Counted.opened == (2 if killed else 1)
    lines = build.results.read_bytes().splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == ["a", "b", "c"]


def test_ids_are_read_from_lines_of_any_spelling():
    lines = b'{"custom_id": "a"}\n{"x": 1, "custom_id": "\\u00e9"}\n'
    assert list(custom_ids_in(io.BytesIO(lines))) == ["a", "é"]
