"""`batchsim bench`."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest


class Room(NamedTuple):
    free: int


@pytest.mark.slow
def test_the_command_measures_and_remembers(batchsim) -> None:
    asked = ("bench", "--quick", "--rounds", "1", "--only", "one-line", "--only", "start")
    ran = batchsim(*asked, "--history", "history.jsonl")
    assert ran.code == 0, ran.stderr
    assert "| a batch of 1 line in the process | 1 line |" in ran.stdout
    again = batchsim(*asked, "--history", "history.jsonl", "--json")
    rows = json.loads(again.stdout)["rows"]
    assert [row["what"] for row in rows] == [
        "a batch of 1 line in the process",
        "batchsim --help, CPU",
        "import click and nothing else, CPU",
        "import batchsim, CPU",
    ]
    assert len(Path("history.jsonl").read_text().splitlines()) == 2


def test_too_little_room_is_told_before_anything_is_written(batchsim, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Room(free=1 << 20))
    ran = batchsim("bench", "--quick")
    assert ran.code == 2
    assert "hint: name another folder with --folder, or measure less" in ran.stderr


def test_how_much_room_is_taken_is_told_first_and_all_of_it_given_back(
    batchsim, monkeypatch, tmp_path
) -> None:
    def measure(bench, rounds):
        (bench._folder / "large.jsonl").write_bytes(b"large")
        raise KeyboardInterrupt

    monkeypatch.setattr("batchsim.bench.bench.Bench.run", measure)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Room(free=100 << 30))
    folder = tmp_path / "here"
    folder.mkdir()
    ran = batchsim("bench", "--huge", "--only", "slope", "--folder", str(folder))
    assert ran.code == 130
    told = f"{folder} has 100.0 GiB of room, and up to 48.0 GiB are taken meanwhile"
    assert ran.stderr.startswith(told)
    assert not list(folder.iterdir())


def test_what_is_no_history_is_told_before_anything_is_measured(batchsim):
    Path("notes.txt").write_text("buy milk\n")
    ran = batchsim("bench", "--history", "notes.txt")
    assert (ran.code, ran.stdout) == (2, "")
    assert "notes.txt:1: this line is no run of `batchsim bench`" in ran.stderr
    assert Path("notes.txt").read_text() == "buy milk\n"
    assert batchsim("bench", "--quick", "--large").code == 2
    assert batchsim("bench", "--only", "speed").code == 2
    assert batchsim("bench", "--folder", "nowhere").code == 2
