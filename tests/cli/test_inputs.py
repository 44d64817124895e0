"""What is no ordinary input, to every command that reads one; the numbers are the catalogue's."""

import os
from pathlib import Path

import pytest

from tests.repository import DEMO_INPUT

COMMANDS = {"validate": ["validate"], "run": ["run", "--fake"], "estimate": ["estimate"]}


@pytest.fixture(params=COMMANDS.values(), ids=COMMANDS)
def read(request, batchsim):
    """One of the commands, given an input."""
    return lambda source: batchsim(*request.param, source)


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def a_loop(folder: Path) -> str:
    (folder / "loop").symlink_to("loop")
    return "loop"


def a_dangling_link(folder: Path) -> str:
    (folder / "link").symlink_to("nowhere")
    return "link"


def the_memory_of_a_process(folder: Path) -> str:
    (folder / "memory").symlink_to("/proc/self/mem")
    return "memory"


def a_gigabyte_without_a_newline(folder: Path) -> str:
    with (folder / "in.jsonl").open("wb") as stream:
        stream.write(b'{"custom_id": "')
        stream.truncate(1 << 30)
    return "in.jsonl"


PLACES = {
    "row_019_a_gigabyte": (a_gigabyte_without_a_newline, "in.jsonl:1: line 1 is longer than 200,"),
    "row_024_folder": (lambda folder: ".", ".: the input is a folder, not a file"),
    "row_024_pipe": (a_pipe, "pipe: the input is a named pipe, not a file"),
    "row_024_device": (lambda folder: "/dev/null", "/dev/null: the input is a device"),
    "row_024_memory": (the_memory_of_a_process, "memory: the file cannot be read"),
    "row_026_loop": (a_loop, "loop: the file cannot be opened: too many levels"),
    "row_026_link": (a_dangling_link, "link: there is no such file"),
    "row_026_missing": (lambda folder: "none.jsonl", "none.jsonl: there is no such file"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_of_lines_is_one_error_and_exit_2(place, read, desk):
    make, message = PLACES[place]
    source = make(desk)
    before = {desk / ".stdin", *desk.iterdir()}
    outcome = read(source)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert {*desk.iterdir()} == before


def test_row_008_a_large_file_of_nul_bytes_is_one_error(read, desk):
    with (desk / "in.jsonl").open("wb") as stream:
        stream.truncate(200_000_000)
    outcome = read("in.jsonl")
    assert outcome.code == 2
    told = (outcome.stdout + outcome.stderr).splitlines()
    assert sum("in.jsonl:" in line and "hint" not in line for line in told) == 1


NAMES = [
    (b"a\nb.jsonl", "a\\nb.jsonl"),
    (b"\x1b[2J.jsonl", "\\x1b[2J.jsonl"),
    ("\u202ea.jsonl".encode(), "\\u202ea.jsonl"),
    (b"\xff.jsonl", "\\udcff.jsonl"),
    (b"n" * 240, "n" * 240),
]


@pytest.mark.parametrize(("name", "shown"), NAMES, ids=["newline", "escape", "bidi", "odd", "long"])
def test_row_027_a_file_may_have_any_name_and_is_shown_escaped(name, shown, read):
    path = os.fsdecode(name)
    Path(path).write_bytes(DEMO_INPUT.read_bytes() + b"{\n")
    outcome = read(path)
    assert outcome.code == 2
    told = outcome.stdout + outcome.stderr
    assert f"{shown}:4:" in told
    assert told.replace("\n", "").isprintable()


@pytest.mark.parametrize(("name", "shown"), NAMES, ids=["newline", "escape", "bidi", "odd", "long"])
def test_row_027_results_may_have_any_name_and_it_is_shown_escaped(name, shown, batchsim):
    path = os.fsdecode(name)
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", path)
    assert outcome.code == 0
    assert Path(path).stat().st_size
    assert outcome.stderr.endswith(f"results in {shown}\n")
    assert outcome.stderr.replace("\n", "").isprintable()
