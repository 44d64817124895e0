"""The rows of the table. Targets are the project's own, set in November 2026."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.explained import FLOOR_ROW, PARTS_KEY, SLOPE_KEY, SUM_ROW
from bench.measure import Cost
from bench.parts import ACTIVITIES, FLOOR, PARTS, least
from bench.rows import (
    BARE,
    Program,
    Row,
    command,
    cpu,
    cpu_microseconds_beyond,
    cpu_milliseconds_beyond,
    cpu_of_lines,
    fact,
    floor_program,
    memory,
    ours,
    own_microseconds_beyond,
    seconds_beyond,
    wall,
    wall_of_lines,
)

_INTERPRETER = "bare interpreter"


def _of_lines(key: str, what: str, program: Callable[[str], Program], shape: str) -> Row:
    """CPU time of a command's lines; the target is still to be set."""
    measured = program(shape), program("one"), floor_program(shape, "parse")
    return Row(key, f"{what}, CPU", measured, cpu_of_lines, "x", floor=FLOOR_ROW)


def _validate_command(shape: str) -> Program:
    # More than 50,000 lines are too many for a batch, and nothing else is wrong with them.
    return command(shape, "validate", "{}")._replace(endings=(0, 2))


def _run_command(shape: str) -> Program:
    return command(shape, "run", "--fake", "{}", "-o", "results.jsonl")


def _validate(shape: str, most: float, megabytes: float) -> tuple[Row, ...]:
    peak = _validate_command(shape), BARE
    return (
        _of_lines("validate", "validate", _validate_command, shape)._replace(target=most),
        Row("validate", "validate, memory", peak, memory, "MB", megabytes, _INTERPRETER),
    )


def _run(shape: str, most: float, megabytes: float, *, cores: int = 1) -> tuple[Row, ...]:
    row = _of_lines("run", "run --fake", _run_command, shape)._replace(target=most)
    if cores > 1:
        row = row._replace(what="run --fake, wall", take=wall_of_lines)
    peak = _run_command(shape), BARE
    return row, Row("run", "run --fake, memory", peak, memory, "MB", megabytes, _INTERPRETER)


def _fake(shape: str, most: float) -> Row:
    measured = ours(shape, "fake"), floor_program(shape, "parse")
    return Row("fake", "the fake, create to output file, CPU", measured, cpu, "x", most, FLOOR_ROW)


def _restore(shape: str) -> tuple[Row, ...]:
    program = ours(shape, "restore")
    what = "restoring the order of results"
    take, least = fact("cpu", of="floor"), fact("least", of="floor")
    floor = "one orjson pass over them"
    again = ours(shape, "restore", "read")
    return (
        Row("restore", f"{what}, CPU", (program,), take, "x", 1.5, floor),
        Row("restore", "each matched and moved, no more, CPU", (program,), least, "x", None, floor),
        Row("restore", "the same going on with a job, CPU", (again,), take, "x", None, floor),
        Row("restore", f"{what}, memory", (program, BARE), memory, "MB", 33.0, _INTERPRETER),
    )


_CLIENT_JOB = ours("short", "job_through_client")
_IN_PROCESS = (
    Row(
        "client",
        "run through the official client in the process, CPU",
        (_CLIENT_JOB, floor_program("short", "parse")),
        cpu,
        "x",
        6.5,
        FLOOR_ROW,
    ),
    Row(
        "client",
        "the same, memory",
        (_CLIENT_JOB, ours("one", "job_through_client")),
        memory,
        "MB",
        100.0,
        "the same with 1 line",
    ),
    Row(
        "client",
        "a batch with the official client in the process",
        (ours("thousand", "client", "fake"), floor_program("thousand", "client", "fixed")),
        seconds_beyond,
        "s",
        0.2,
        "less that client on fixed answers",
    ),
    Row(
        "one-line",
        "a batch of 1 line in the process",
        (ours("one", "one_line"),),
        fact("wall", times=1000),
        "ms",
        1.0,
    ),
)


def _parts(shape: str) -> tuple[Row, ...]:
    program = (ours(shape, "parts"),)
    return (
        Row(PARTS_KEY, FLOOR_ROW, program, fact(FLOOR), "us"),
        *(Row(PARTS_KEY, part.what, program, fact(part.name, FLOOR), "x") for part in PARTS),
        *(
            Row(PARTS_KEY, SUM_ROW + each, program, partial(_least, each), "x")
            for each in ACTIVITIES
        ),
    )


def _least(activity: str, cost: Cost) -> float:
    return least(activity, cost.facts)


def _slope(shape: str) -> tuple[Row, ...]:
    """CPU of a line in microseconds."""
    rows = []
    for command_name, program in (("validate", _validate_command), ("run --fake", _run_command)):
        measured = program(shape), program("one")
        for what, take in (
            (command_name, cpu_microseconds_beyond),
            (f"{command_name}, without the system's share", own_microseconds_beyond),
        ):
            rows.append(Row(SLOPE_KEY, what, measured, take, "us", per_line=True))
    return tuple(rows)


_START = ours("one", "start", "serve")
_BATCH = ours("short", "round_trip", "serve"), floor_program("short", "round_trip", "fixed")
_POLLS = ours("one", "polls", "serve"), floor_program("one", "polls", "fixed")
_FILES = ours("long", "transfer", "serve"), floor_program("long", "copy")
_FILES_FIXED = ours("long", "transfer", "serve"), floor_program("long", "transfer", "fixed")
_FIXED = "server of fixed answers"

_SERVE = tuple(
    Row(key, f"serve, {what}", programs, take, unit, target, floor, needs="httptools")
    for key, what, programs, take, unit, target, floor in (
        ("serve", "start to first answer", (_START,), fact("wall"), "s", 0.3, ""),
        ("serve", "idle memory", (_START,), fact("server"), "MB", 35.0, ""),
        ("serve-batch", "a batch with the official client", _BATCH, fact("wall"), "s", 2.0, ""),
        ("serve-batch", "the same, as a multiple", _BATCH, wall, "x", None, _FIXED),
        ("serve-batch", "its CPU", _BATCH, fact("busy"), "s", None, ""),
        ("serve-batch", "its memory", _BATCH, fact("server"), "MB", 80.0, ""),
        ("serve-polls", "polls over 16 connections", _POLLS, fact("rate"), "/s", 5_000.0, ""),
        ("serve-polls", "the same, as a share", _POLLS, fact("rate", of="rate"), "x", None, _FIXED),
        ("serve-polls", "its CPU for one of them", _POLLS, fact("poll"), "us", None, ""),
        (
            "serve-polls",
            "the same, as a multiple",
            _POLLS,
            fact("poll", of="poll"),
            "x",
            None,
            _FIXED,
        ),
        (
            "serve-polls",
            "longest wait of a poll while a batch runs",
            (ours("short", "waits"),),
            fact("longest"),
            "s",
            0.1,
            "",
        ),
        ("serve-files", "upload", _FILES, fact("up", of="wall"), "x", 3.0, "cp"),
        ("serve-files", "the upload again", _FILES_FIXED, fact("up", of="up"), "x", None, _FIXED),
        ("serve-files", "download", _FILES, fact("down", of="wall"), "x", 1.5, "cp"),
        (
            "serve-files",
            "the download again",
            _FILES_FIXED,
            fact("down", of="down"),
            "x",
            None,
            _FIXED,
        ),
        ("serve-files", "growth meanwhile", _FILES, fact("growth"), "MB", 4.0, ""),
    )
)

_HELP = command("", "--help"), BARE
_CLICK = Program("", ("-c", "import click"), is_floor=True), BARE
_IMPORT = Program("", ("-c", "import batchsim")), BARE
# Other plugins that happen to be installed cost a hundred times as much, and never twice the same.
_PYTEST = (
    "import os, sys, pytest; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'; "
    "sys.exit(pytest.main(sys.argv[1:]))"
)
_PLUGIN = (
    Program("pytest", ("-c", _PYTEST, "-q", "-p", "batchsim.testing.plugin", "{}")),
    Program("pytest", ("-c", _PYTEST, "-q", "{}")),
)
_STARTS = (
    Row("start", "batchsim --help, CPU", _HELP, cpu, "x", 4.0, _INTERPRETER),
    Row("start", "import click and nothing else, CPU", _CLICK, cpu, "x", floor=_INTERPRETER),
    Row("start", "import batchsim, CPU", _IMPORT, cpu, "x", 2.0, _INTERPRETER),
    Row(
        "plugin",
        "the pytest plugin when nothing uses it, CPU",
        _PLUGIN,
        cpu_milliseconds_beyond,
        "ms",
        20.0,
        "less that run without it",
        needs="pytest",
    ),
    Row(
        "plugin",
        "what the fixture batchsim adds to a test, median of 100",
        (ours("one", "plugin_tests"),),
        fact("wall", times=1000),
        "ms",
        5.0,
        "less the same tests with a plain fixture",
        needs="pytest",
    ),
)

ROWS: tuple[Row, ...] = (
    *_validate("short", 1.25, 40.0),
    *_validate("long", 1.10, 40.0),
    *_validate("japanese", 1.25, 40.0),
    *_validate("million", 1.25, 40.0),
    *_validate("ten-million", 1.25, 400.0),
    _fake("short", 2.5),
    _fake("long", 2.5),
    _fake("japanese", 2.5),
    *_run("short", 5.5, 64.0),
    *_run("long", 4.5, 64.0),
    *_run("japanese", 5.5, 64.0),
    *_run("million", 3.0, 69.0, cores=2),
    *_run("ten-million", 3.3, 69.0, cores=2),
    *_restore("short"),
    *_restore("million"),
    *_IN_PROCESS,
    *_SERVE,
    *_STARTS,
    *_parts("short"),
    *_parts("long"),
    *_slope("short"),
    *_slope("million"),
    *_slope("ten-million"),
)
"""All rows, in the order of the table."""

KEYS = tuple(dict.fromkeys(row.key for row in ROWS))
"""The names by which rows are chosen."""
