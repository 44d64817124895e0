"""`batchsim adopt` as a command: what it takes over, and what it refuses."""

from __future__ import annotations

import io
import json
import re

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


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (["A"], ["B"], "it adopts A, not B"),
        (["A"], ["A", "B"], "it adopts A, not A, B"),
        (["A", "B"], ["A"], "it adopts A, B, not A"),
        (["A"], ["batch_absent"], "it adopts A, not batch_absent"),
        (["A"], ["--metadata", "part=b"], "it adopts A, not no batch by its id"),
        (["--metadata", "part=a"], ["--metadata", "part=b"], "part=a metadata, not with part=b"),
        (["A"], ["A", "--input-file-id", "file-1"], "its input file id is none, not file-1"),
        (["A"], ["A", "--input", "mine.jsonl"], "its --input is none, not "),
    ],
)
def test_a_later_command_with_other_arguments_is_refused_and_says_what_differs(
    batches_of_another_tool, tmp_path, batchsim, first, second, words
):
    names = dict(zip("AB", sorted(batches_of_another_tool), strict=True))
    first, second = ([names.get(word, word) for word in words] for words in (first, second))
    words = re.sub(r"\b[AB]\b", lambda name: names[name[0]], words)
    (tmp_path / "mine.jsonl").write_bytes(b"")
    adopt = ("adopt", "--fake", "--store", "store", "-o", "results.jsonl")
    assert batchsim(*adopt, *first).code == 0
    before = (tmp_path / "results.jsonl").read_bytes()
    refused = batchsim(*adopt, *second)
    assert refused.code == 2
    assert "begun with other arguments" in refused.stderr
    assert words in refused.stderr
    assert refused.stderr.count("hint: ") == 1
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert batchsim(*adopt, *first).code == 0, "the same command goes on"


def test_a_job_of_another_command_is_not_taken_for_an_adoption(
    batches_of_another_tool, tmp_path, batchsim
):
    line = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "gpt-4o-mini"}}
    line["body"]["messages"] = [{"role": "user", "content": "hello"}]
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    assert batchsim("run", "--fake", "mine.jsonl", "-o", "results.jsonl").code == 0
    adopt = ("adopt", "--fake", "--store", "store", "-o", "results.jsonl")
    refused = batchsim(*adopt, batches_of_another_tool[0])
    assert refused.code == 2
    assert "it adopts no batches, but runs an input" in refused.stderr


def test_a_job_of_an_earlier_version_knows_its_batches(batches_of_another_tool, tmp_path, batchsim):
    one, other = batches_of_another_tool
    adopt = ("adopt", "--fake", "--store", "store", "-o", "results.jsonl")
    assert batchsim(*adopt, one).code == 0
    (tmp_path / "results.jsonl.job" / "adopted.json").unlink()
    assert batchsim(*adopt, one).code == 0
    refused = batchsim(*adopt, other)
    assert refused.code == 2
    assert f"it does not hold {other}" in refused.stderr


def write_line(custom_id, text):
    body = {"messages": [{"role": "user", "content": text}], "model": "gpt-4o-mini"}
    return json.dumps({"body": body, "url": CHAT, "method": "POST", "custom_id": custom_id})


def test_an_input_with_edited_prompts_is_refused_and_its_lines_are_named(
    batches_of_another_tool, tmp_path, batchsim
):
    texts = ["hello", "edited", "hello"]
    lines = [write_line(f"a-{n}", text) for n, text in enumerate(texts)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    one, _ = batches_of_another_tool
    adopt = ("adopt", "--fake", "--store", "store", "-o", "results.jsonl", one)
    refused = batchsim(*adopt, "--input", "mine.jsonl")
    assert refused.code == 2
    said = "1 line of mine.jsonl has another body than was sent under the same custom_id: line 2 "
    assert f"{said}('a-1' in {one})" in refused.stderr
    assert "give the input from which the batches were made, or none" in refused.stderr
    assert not (tmp_path / "results.jsonl").exists()
    lines[1] = write_line("a-1", "hello")  # the same body, written in another order
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    assert batchsim(*adopt, "--input", "mine.jsonl").code == 0
    assert ids_in(tmp_path / "results.jsonl") == ["a-0", "a-1", "a-2"]


def test_lines_that_are_good_in_two_batches_are_not_counted_as_failed(tmp_path, batchsim):
    backend = FakeBackend(pacing="quick", store=DiskStore(tmp_path / "store"))
    content = "\n".join(write_line(f"a-{n}", "hello") for n in range(2)).encode()
    ids = []
    for _ in range(2):
        file = backend.upload_file(io.BytesIO(content), filename="theirs.jsonl")
        ids.append(backend.create_batch(input_file_id=file.id, endpoint=CHAT).id)
    backend.close()
    outcome = batchsim("adopt", "--fake", "--store", "store", "-o", "results.jsonl", "--json", *ids)
    assert outcome.code == 0
    told = json.loads(outcome.stdout)
    assert (told["lines"], told["done"], told["failed"]) == (2, 2, 0)
    assert " -" not in outcome.stderr
    shown = batchsim("status", "results.jsonl")
    assert "-2" not in shown.stdout
    assert json.loads(batchsim("status", "results.jsonl", "--json").stdout)["failed"] == 0
