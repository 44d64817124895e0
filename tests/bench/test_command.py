"""The command that measures: `python tests/bench`."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.bench import HERE
from bench.command import bench


class Room(NamedTuple):
    free: int


class Ran(NamedTuple):
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def measure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            bench.main(arguments)
        return Ran(ended.value.code, *capsys.readouterr())

    return run


@pytest.mark.slow
def test_the_command_measures_and_remembers(measure) -> None:
    asked = ("--quick", "--rounds", "1", "--only", "one-line", "--only", "start")
    ran = measure(*asked, "--history", "history.jsonl")
    assert ran.code == 0, ran.stderr
    assert "| a batch of 1 line in the process | 1 line |" in ran.stdout
    again = measure(*asked, "--history", "history.jsonl", "--json")
    rows = json.loads(again.stdout)["rows"]
    assert [row["what"] for row in rows] == [
        "a batch of 1 line in the process",
        "batchsim --help, CPU",
        "import click and nothing else, CPU",
        "import batchsim, CPU",
    ]
    assert len(Path("history.jsonl").read_text().splitlines()) == 2


def test_too_little_room_is_told_before_anything_is_written(measure, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Room(free=1 << 20))
    ran = measure("--quick")
    assert ran.code == 2
    assert "name another folder with --folder, or measure less" in ran.stderr


def test_how_much_room_is_taken_is_told_first_and_all_of_it_given_back(
    measure, monkeypatch, tmp_path
) -> None:
    def write(bench, rounds):
        (bench._folder / "large.jsonl").write_bytes(b"large")  # noqa: SLF001
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.bench.Bench.run", write)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Room(free=100 << 30))
    folder = tmp_path / "here"
    folder.mkdir()
    ran = measure("--huge", "--only", "slope", "--folder", str(folder))
    assert ran.code == 1
    told = f"{folder} has 100.0 GiB of room, and up to 48.0 GiB are taken meanwhile"
    assert ran.stderr.startswith(told)
    assert not list(folder.iterdir())


def test_what_is_no_history_is_told_before_anything_is_measured(measure):
    Path("notes.txt").write_text("buy milk\n")
    ran = measure("--history", "notes.txt")
    assert (ran.code, ran.stdout) == (2, "")
    assert "notes.txt:1: this line is no run of the benchmark" in ran.stderr
    assert Path("notes.txt").read_text() == "buy milk\n"
    assert measure("--quick", "--large").code == 2
    assert measure("--only", "speed").code == 2
    assert measure("--folder", "nowhere").code == 2
    assert measure("--against", ".", "--history", "runs.jsonl").code == 2


@pytest.mark.slow
def test_two_versions_are_measured_side_by_side(measure):
    asked = ("--quick", "--rounds", "2", "--only", "one-line", "--against", str(HERE.root))
    ran = measure(*asked)
    assert ran.code == 0, ran.stderr
    head, _, row = ran.stdout.splitlines()
    assert head == "| what | input | there | here | ratio | range |"
    assert row.startswith("| a batch of 1 line in the process | 1 line |")
    (row,) = json.loads(measure(*asked, "--json").stdout)["rows"]
    assert 0 < row["least"] <= row["ratio"] <= row["most"]
