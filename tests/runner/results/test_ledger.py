"""The ledger: the same bytes whether this process knows the custom_ids or reads them from the
results.
"""

from __future__ import annotations

import json
from itertools import count

from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend, Faults
from batchsim.domain.limits import Limits
from batchsim.runner.job import JobDirectory, ShardState
from batchsim.runner.journal.shard_entries import Downloaded, Source
from batchsim.runner.policy import Policy
from batchsim.runner.results.assemble import assemble
from batchsim.runner.results.collect import collect
from batchsim.runner.run import run

FOLDER = count()
PLAIN = ["a", "request-1", "a b", "{}", ",", "'"]
ODD = ['"', "\\", "a\tb", "\n", "\x7f", "\x85", "é", "\u2028", "😀", '","', "\\u0041"]
IDS = st.lists(
    st.sampled_from([*PLAIN, *ODD]) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=5),
    min_size=1,
    max_size=12,
    unique=True,
)


def line(custom_id: str, *, ascii_only: bool, leads: bool, is_tight: bool) -> bytes:
    """A result as one service or another spells it."""
    response = {"status_code": 200, "request_id": "r", "body": {"usage": None}}
    value = {"id": "x", "custom_id": custom_id, "response": response, "error": None}
    if not leads:
        value = dict(reversed(value.items()))
    separators = (",", ":") if is_tight else None
    return json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()


@settings(max_examples=60)
@given(
    custom_ids=IDS,
    models=st.lists(st.sampled_from(["gpt-4o", "gpt-4o-mini"]), min_size=12, max_size=12),
    per_batch=st.integers(1, 12),
    ascii_only=st.booleans(),
    leads=st.booleans(),
    is_tight=st.booleans(),
)
@example(PLAIN, ["gpt-4o", "gpt-4o-mini"] * 6, 2, True, True, False)
@example(["\x7f", "a"], ["gpt-4o"] * 12, 12, True, True, False)
def test_known_custom_ids_change_no_byte(
    build, custom_ids, models, per_batch, ascii_only, leads, is_tight
):
    folder = build.folder / str(next(FOLDER))
    folder.mkdir()
    directory = JobDirectory(folder / "job")
    requests = [
        build.chat(custom_id, model=model)
        for custom_id, model in zip(custom_ids, models, strict=False)
    ]
    plan = build.plan_of(requests, folder / "input", limits=Limits(requests_per_batch=per_batch))
    for shard in plan.shards:
        number = shard.shard
        held = list(plan.custom_ids.of_shard(number))
        results = [
            line(each, ascii_only=ascii_only, leads=leads, is_tight=is_tight) for each in held
        ]
        path = directory.file(number, Source.OUTPUT)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(reversed(results)))
        file = Downloaded(shard=number, source=Source.OUTPUT, file_id="f", bytes=0, sha256="")
        collect(ShardState(shard, files=(file,)), held, directory)
    ledgers = []
    for put_aside in (plan.custom_ids, None):
        assemble(
            plan.shards,
            directory,
            folder / "results",
            lines=plan.lines,
            batches={1: "batch_1"},
            spool=put_aside,
        )
        ledgers.append(directory.ledger.read_bytes())
    known, found = ledgers
    assert known == found
    accounts = [json.loads(each) for each in known.splitlines()]
    assert [each["custom_id"] for each in accounts] == custom_ids
    assert [each["line"] for each in accounts] == list(range(1, len(custom_ids) + 1))


def test_a_process_that_knows_no_custom_ids_writes_the_same_ledger_of_all_rounds(build):
    """The first process plans, loses lines and asks again; the second has only the directory."""
    backend = FakeBackend(seed=3, pacing="quick", faults=Faults(lost_lines=0.3))
    source = build.input([build.chat(f"id {n} {'é' * (n % 7 == 0)}") for n in range(40)])
    limits = Limits(requests_per_batch=9)
    policy = Policy(retries=3, accept_lost=True)
    report = run(source, backend, results=build.results, limits=limits, policy=policy)
    ledger, results = report.ledger.read_bytes(), build.results.read_bytes()
    assert {json.loads(each)["round"] for each in ledger.splitlines()} > {0, 1}
    build.results.unlink()
    report.ledger.unlink()
    run(source, backend, results=build.results, limits=limits, policy=policy)
    assert (report.ledger.read_bytes(), build.results.read_bytes()) == (ledger, results)
