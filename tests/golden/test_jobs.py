"""Jobs of an earlier version are read, continued and finished, byte for byte the same.

fixtures/jobs/README.md tells how each was made and where it was killed. The tests unpack a job,
run the commands of its transcript, and compare the outputs, the results and the ledger.
"""

import json
import signal
import socket
import sys
from contextlib import nullcontext
from itertools import dropwhile
from pathlib import Path

import pytest

import batchsim

# The one place where these tests know modules of the inside.
from batchsim.runner.journal.codec import KINDS, from_payload, to_payload
from batchsim.stores.disk import DiskStore
from tests.golden.driver import HOST, scripted
from tests.golden.replay import (
    continues,
    done_by_hand,
    entries,
    journal_of,
    parsed,
    parts,
    spoken,
    transcript,
    unpack,
    write_journal,
)
from tests.golden.served import Served
from tests.golden.service import Service

JOBS = Path(__file__).parents[2] / "fixtures" / "jobs"
EVERY_KIND = JOBS / "every-kind"

LEFT = {
    "whole": "Finished",
    "planned": "Planned",
    "uploading": "UploadIntended",
    "creating": "CreateIntended",
    "created": "CreateIntended",
    "watching": "Observed",
    "downloaded": "Downloaded",
    "assembled": "Audited",
    "cancelled": "CancelAsked",
    "skipping": "RemoteDeleted",
    "capped": "CreateIntended",
    "adopted": "Downloaded",
    "hurried": "AnswerSettled",
}
"""The last entry in the journal of each job."""

NAMES = (*LEFT, "lost")


@pytest.fixture
def command(tmp_path, monkeypatch, capfdbinary):
    """Return a function that runs a command of a transcript; its `talk` is the last stderr."""
    from batchsim.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)

    def give(command, served=None):
        give.talk = ""
        give.is_continued = give.is_continued or continues(command)
        printed = done_by_hand(command, tmp_path, served)
        if printed is not None:
            return spoken(printed, 0, tmp_path)
        variables, arguments = parsed(command)
        if served is not None:
            variables["OPENAI_BASE_URL"] = served.base_url
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        is_scripted = (tmp_path / "service.json").exists()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["batchsim", *arguments])
            for name, value in variables.items():
                patch.setenv(name, value)
            service = scripted(tmp_path, Service) if is_scripted else nullcontext()
            with service, pytest.raises(SystemExit) as ended:
                main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        out, err = capfdbinary.readouterr()
        give.talk = err.decode()
        told = out.decode()
        return spoken(told, ended.value.code, tmp_path, is_continued=give.is_continued)

    give.is_continued = False
    return give


def apart(told, expected):
    """Quote both texts around the first place where they differ."""
    pairs = enumerate(zip(f"{told}\0", f"{expected}\0", strict=False))
    at = next((place for place, (one, other) in pairs if one != other), 0)
    return f"{told[max(0, at - 60) : at + 60]!r} instead of {expected[max(0, at - 60) : at + 60]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_an_earlier_version_left_is_finished(name, tmp_path, command):
    home = JOBS / name
    unpack(home / "job.tar.gz", tmp_path)
    for words, told in transcript(home / "transcript.txt"):
        said = command(words)
        assert said == told, f"{words}: {apart(said, told)}\n{command.talk}"
    written = parts(tmp_path)
    assert [path.name for path in written] == ["results.jsonl", "ledger.jsonl"]
    for path in written:
        expected = home / path.name
        expected = expected if expected.exists() else JOBS / "whole" / path.name
        assert path.read_bytes() == expected.read_bytes(), path.name


def test_reservations_of_an_earlier_version_hold_under_the_cap(tmp_path, command):
    unpack(JOBS / "capped" / "job.tar.gz", tmp_path)
    _, (words, told), *_ = transcript(JOBS / "capped" / "transcript.txt")
    assert command(words) == told
    batches = json.loads((tmp_path / "service.json").read_bytes())["batches"].values()
    by_model = {each["model"]: each["object"] for each in batches}
    waiting, reserving = by_model["gpt-4.1"], by_model["gpt-4o"]
    assert waiting["created_at"] >= reserving["completed_at"]


def test_a_folder_that_an_earlier_version_served_is_served(tmp_path, command):
    home = JOBS / "served"
    unpack(home / "job.tar.gz", tmp_path)
    told = transcript(home / "transcript.txt")
    with Served(tmp_path / "data", sys.executable) as served:
        for words, expected in told:
            said = command(words, served)
            assert said == expected, f"{words}: {apart(said, expected)}\n{command.talk}"
    _, *last = dropwhile(lambda each: not each[0].startswith("advance"), told)
    with Served(tmp_path / "data", sys.executable) as served:
        for words, expected in last:
            said = command(words, served)
            assert said == expected, f"served again, {words}: {apart(said, expected)}"


@pytest.mark.parametrize("name", LEFT)
def test_a_job_was_killed_where_it_says(name, tmp_path):
    unpack(JOBS / name / "job.tar.gz", tmp_path)
    *_, (_, last, _, _) = journal_of(tmp_path)
    assert last == LEFT[name]


@pytest.mark.parametrize("name", LEFT)
def test_entries_that_an_earlier_version_wrote_are_written_so_again(name, tmp_path):
    unpack(JOBS / name / "job.tar.gz", tmp_path)
    rows = journal_of(tmp_path)
    assert rows
    for _, kind, _, payload in rows:
        assert to_payload(from_payload(kind, payload)) == payload


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row[1]) for row in entries(EVERY_KIND / "journal.txt")]
)
def test_an_entry_of_every_kind_is_written_as_it_was_read(row):
    _, kind, shard, payload = row
    entry = from_payload(kind, payload)
    assert to_payload(entry) == payload
    assert getattr(entry, "shard", None) == shard


def test_every_kind_of_entry_is_among_them():
    """Give a new kind a row in journal.txt, and never remove one."""
    assert {kind for _, kind, _, _ in entries(EVERY_KIND / "journal.txt")} == set(KINDS)


def test_a_journal_with_every_kind_of_entry_tells_the_same_state(tmp_path, command):
    write_journal(tmp_path, entries(EVERY_KIND / "journal.txt"))
    for words, told in transcript(EVERY_KIND / "transcript.txt"):
        assert command(words) == told


def test_a_job_without_a_name_is_found_where_an_earlier_version_made_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with DiskStore("fake") as store:
        backend = batchsim.FakeBackend(store=store)
        requests = [batchsim.Request.chat(text, model="gpt-4o-mini") for text in ("Hi", "訳", "Hi")]
        results = list(batchsim.run(requests, backend))
        backend.close()
    assert [path.name for path in tmp_path.glob("*.job")] == ["batchsim-ed591dd499e3.job"]
    assert [each.custom_id for each in results] == [
        "ef4775f23420ae896559bcae",
        "ce916277caa047eefa17d8c0",
        "ef4775f23420ae896559bcae-2",
    ]
