"""The JSON of every command beside the tables of the guide's chapter `scripts`: all keys, all
types.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.docs.documents import DOCUMENTS
from tests.repository import DEMO_INPUT, FIXTURES

CHAPTER = DOCUMENTS["scripts"].read_text("utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z ]+) \| .* \|$", re.MULTILINE)
PARTS = {
    heading: dict(ROW.findall(text))
    for heading, text in re.findall(r"^##+ (.*)\n((?:(?!##).*\n)*)", CHAPTER, re.MULTILINE)
}
JOB = PARTS["JSON about a job"]
STATUS = JOB | PARTS["JSON of `status`"]
IN_LIST = JOB | PARTS["JSON of `jobs`"]

TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
    "any": object,
}
INPUT = ("input.jsonl", "-o", "results.jsonl", "--json")


@pytest.fixture
def job(batchsim, desk, real):
    """A finished job at a service."""
    shutil.copy(DEMO_INPUT, desk / "input.jsonl")
    return batchsim("run", "--real", *INPUT)


def objects(outcome) -> list[dict]:
    found = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert found, outcome.stderr
    return found


def check(value: dict, table: dict[str, str]) -> None:
    """Fail unless the object has the keys of the table, all of them, with their types."""
    objects_in = {""}
    seen = set()
    for path, each in inside(value):
        if isinstance(each, dict):
            objects_in.add(path)
        if path.endswith("[]") and path not in table:
            continue
        row = path if path in table else _row_for_any_key(path, table)
        assert row is not None, f"{path} is not in the guide"
        if row.count(".") == path.count("."):  # else it is deep in an object that others describe
            kinds = table[row].split(" or ")
            assert any(_is(each, kind) for kind in kinds), f"{path}: {each!r} is no {table[row]}"
        seen.add(row)
    expected = {row for row in table if row.rpartition(".")[0] in objects_in}
    missing = {row for row in expected - seen if not row.endswith(("*", "[]"))}
    assert not missing, "these keys are only in the guide"


def inside(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value in an object, with its path as the tables write it."""
    pairs: list[tuple[str, object]] = []
    if isinstance(value, dict):
        pairs = [(f"{path}.{name}".removeprefix("."), each) for name, each in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[]", each) for each in value]
    for inner, each in pairs:
        yield inner, each
        yield from inside(each, inner)


def _row_for_any_key(path: str, table: dict[str, str]) -> str | None:
    return next((row for row in table if row[-1] == "*" and path.startswith(row[:-1])), None)


def _is(value: object, kind: str) -> bool:
    is_flag = isinstance(value, bool)
    return isinstance(value, TYPES[kind]) and (not is_flag or kind in ("boolean", "any"))


def test_a_job(batchsim, job):
    check(*objects(job), JOB)
    for command in ("watch", "results", "cancel"):
        for each in objects(batchsim(command, "results.jsonl", "--json")):
            check(each, JOB)
    check(*objects(batchsim("status", "results.jsonl", "--json")), STATUS)
    check(*objects(batchsim("jobs", "--json")), IN_LIST)


def test_jobs_that_are_gone_or_unreadable(batchsim, desk, job):
    few = {key: IN_LIST[key] for key in ("job", "state", "continued_at")}
    (desk / "results.jsonl.job" / "journal.db").write_bytes(b"no journal at all" * 100)
    (unreadable,) = objects(batchsim("jobs", "--json"))
    check(unreadable, {**few, "reason": "string"})
    shutil.rmtree(desk / "results.jsonl.job")
    (gone,) = objects(batchsim("jobs", "--json"))
    check(gone, few)
    assert (unreadable["state"], gone["state"]) == ("unreadable", "gone")


def test_a_job_that_was_lost_and_one_that_was_taken_over(batchsim, desk, real, job):
    shutil.rmtree(desk / "results.jsonl.job")
    check(*objects(batchsim("recover", *INPUT)), JOB)
    (batch,) = real.list_batches().data
    adopt = ("adopt", "--real", "--alone", batch.id, "-o", "adopted.jsonl", "--json")
    check(*objects(batchsim(*adopt)), JOB)


def test_batches_and_files(batchsim, real, job):
    from openai.types import Batch, FileObject

    (batch,) = real.list_batches().data
    for words in (("list",), ("show", batch.id)):
        for each in objects(batchsim("batches", *words, "--json")):
            assert each["object"] == "batch"
            assert each.keys() <= Batch.model_fields.keys()
    for words in (("list",), ("show", batch.input_file_id)):
        for each in objects(batchsim("files", *words, "--json")):
            assert each["object"] == "file"
            assert each.keys() <= FileObject.model_fields.keys()
    prune = PARTS["JSON of `files prune`"]
    for words in ((), ("--yes",)):
        for each in objects(batchsim("files", "prune", "--json", *words)):
            check(each, prune)
    file = real.upload_file(io.BytesIO(b"{}"), filename="input.jsonl")
    (deleted,) = objects(batchsim("files", "delete", "--yes", "--json", file.id))
    check(deleted, PARTS["JSON of `batches` and `files`"])


def test_an_input(batchsim):
    mistakes = str(FIXTURES / "inputs" / "mistakes.jsonl")
    for each in objects(batchsim("validate", mistakes, "--json")):
        check(each, PARTS["JSON of `validate`"])
    estimate = PARTS["JSON of `estimate`"]
    (value,) = objects(batchsim("estimate", str(DEMO_INPUT), "--json"))
    check(value, estimate)
    between = list(estimate)[: list(estimate).index("groups")]
    whole = {key: estimate[key] for key in between if "." not in key}
    assert whole.keys() < value["groups"][0].keys()


def test_the_doctor(batchsim, real):
    for each in objects(batchsim("doctor", "--json")):
        check(each, PARTS["JSON of `doctor`"])


def test_scenarios_and_faults(batchsim):
    for each in objects(batchsim("scenarios", "--json")):
        check(each, PARTS["JSON of `scenarios`"])
    faults = objects(batchsim("scenarios", "--faults", "--json"))
    for each in faults:
        check(each, PARTS["JSON of `scenarios --faults`"])
    assert any(each["has"] for each in faults)


def test_the_steps_of_the_demo(batchsim):
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", CHAPTER.partition("JSON of `demo`")[2], re.M)
    told = {step: {"step", *re.findall(r"`(\w+)`", keys)} for step, keys in rows}
    found = objects(batchsim("demo", "--json"))
    assert [*dict.fromkeys(each["step"] for each in found)] == list(told)
    for each in found:
        assert each.keys() == told[each["step"]]


@pytest.mark.parametrize(
    "words", [("serve",), ("record", "--upstream", "http://127.0.0.1:9/v1", "--forward-auth")]
)
def test_servers(process, words):
    with process(*words, "--port", "0", "--json") as server:
        check(json.loads(server.stdout.readline()), PARTS["JSON of `serve` and `record`"])
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)
