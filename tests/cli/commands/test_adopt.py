"""`batchsim adopt` as a command: what it takes over, and what it refuses."""

from __future__ import annotations

import io
import json

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.cli import command_line
from batchsim.errors import UsageError
from batchsim.stores.disk import DiskStore

CHAT = "/v1/chat/completions"


@pytest.fixture
def batches_of_another_tool(tmp_path, monkeypatch):
    """The batches of another tool, in a simulator that keeps them in a folder."""
    monkeypatch.chdir(tmp_path)
    backend = FakeBackend(pacing="quick", store=DiskStore(tmp_path / "store"))
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    ids = []
    for part in "ab":
        lines = [
            json.dumps(
                {"custom_id": f"{part}-{n}", "method": "POST", "url": CHAT, "body": body}
            ).encode()
            for n in range(3)
        ]
        file = backend.upload_file(io.BytesIO(b"\n".join(lines)), filename="theirs.jsonl")
        metadata = {"project": "summer", "part": part}
        batch = backend.create_batch(input_file_id=file.id, endpoint=CHAT, metadata=metadata)
        ids.append(batch.id)
    backend.close()
    return ids


def adopt_command(*arguments):
    return command_line.main(
        ["adopt", "--fake", "--store", "store", *arguments], standalone_mode=False
    )


def ids_in(path):
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--metadata", "project=summer"], ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]),
        (["--metadata", "project=summer", "--metadata", "part=b"], ["b-0", "b-1", "b-2"]),
    ],
)
def test_batches_are_found_and_finished(
    batches_of_another_tool, tmp_path, capsys, arguments, expected
):
    assert adopt_command(*arguments, "-o", "results.jsonl") == 0
    assert ids_in(tmp_path / "results.jsonl") == expected
    told = capsys.readouterr()
    assert "took over" in told.err
    assert f"{len(expected)} ok" in told.err
    assert adopt_command(*arguments, "-o", "results.jsonl") == 0, "a finished job is left as it is"


def test_a_batch_is_named_by_its_id_and_the_job_is_told_as_json(
    batches_of_another_tool, tmp_path, capsys
):
    assert adopt_command(batches_of_another_tool[1], "-o", "results.jsonl", "--json") == 0
    assert ids_in(tmp_path / "results.jsonl") == ["b-0", "b-1", "b-2"]
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no batch is named"),
        (["--metadata", "project"], "is no pair"),
        (["--metadata", "project=winter"], "there is no such batch"),
        (["batch_absent"], "batch_absent"),
    ],
)
def test_what_names_no_batch_is_refused_and_leaves_no_trace(
    batches_of_another_tool, tmp_path, arguments, words
):
    with pytest.raises(UsageError, match=words):
        adopt_command(*arguments, "-o", "results.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_simulator_without_a_store_has_nothing_to_adopt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no batches to adopt"):
        command_line.main(["adopt", "--fake", "batch_1", "-o", "r"], standalone_mode=False)
