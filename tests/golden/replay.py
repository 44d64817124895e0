"""Unpack golden jobs, read their transcripts, and make outputs comparable."""

from __future__ import annotations

import re
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.golden.served import Served

NOWHERE = "/golden"
"""The folder in which the jobs were made, as their files name it."""

GONE = 4_194_305
"""The id of the killed process, as the jobs name it: higher than any that Linux gives."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a job as the killed process left it."""
    is_safer = hasattr(tarfile, "data_filter")  # from 3.11.4 on
    with tarfile.open(archive) as packed:
        packed.extractall(folder, **({"filter": "data"} if is_safer else {}))


def entries(path: Path) -> list[tuple[float, str, int | None, str]]:
    """Read a journal that is kept as text: rows of time, kind, shard and payload."""
    rows = (line.split(" ", 3) for line in path.read_text("utf-8").splitlines())
    return [
        (float(at), kind, None if shard == "-" else int(shard), payload)
        for at, kind, shard, payload in rows
    ]


def journal_of(folder: Path) -> list[tuple[float, str, int | None, str]]:
    """Read the journal of the job in the folder."""
    with closing(sqlite3.connect(folder / "results.jsonl.job" / "journal.db")) as database:
        columns = "at, kind, shard, payload"
        return database.execute(f"SELECT {columns} FROM entries ORDER BY seq").fetchall()


def write_journal(folder: Path, rows: list[tuple[float, str, int | None, str]]) -> None:
    """Write the journal of a job in the folder, in version 1 of the format."""
    (folder / "results.jsonl.job").mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / "results.jsonl.job" / "journal.db")) as database:
        database.executescript(
            "PRAGMA application_id = 0x62736A6C; PRAGMA user_version = 1;"
            "CREATE TABLE entries (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL,"
            " shard INTEGER, payload TEXT NOT NULL);"
            "CREATE TABLE holders (epoch INTEGER PRIMARY KEY);"
        )
        insert = "INSERT INTO entries (at, kind, shard, payload) VALUES (?, ?, ?, ?)"
        database.executemany(insert, rows)
        database.commit()


def parts(folder: Path) -> list[Path]:
    """Return the paths of the results and the ledger of the job in the folder, where they exist."""
    found = (folder / "results.jsonl", folder / "results.jsonl.job" / "ledger.jsonl")
    return [path for path in found if path.is_file()]


CONTINUES = ("run", "adopt")
"""The commands that continue a job."""


def tidy(told: str, folder: Path, *, is_continued: bool) -> str:
    """Return an output without the folder, the time of the machine and advice to people.

    Once a job `is_continued`, leave out all its times: they depend on how often a runner looks.
    """
    told = told.replace(str(folder), "DIR")
    told = re.sub(r'"continued_at":[\d.]+', '"continued_at":0', told)
    told = re.sub(r'"(hint|detail)":"(?:[^"\\]|\\.)*"', r'"\1":"..."', told)
    if is_continued:
        told = re.sub(r'"(\w+_at|seconds_left)":(?:[\d.]+|null)', r'"\1":0', told)
    return told if told.endswith("\n") or not told else f"{told}\n"


def transcript(path: Path) -> list[tuple[str, str]]:
    """Return the commands of a transcript, each with its output and its exit code."""
    told = path.read_text("utf-8").removeprefix("$ ").split("\n$ ")
    return [tuple(each.rstrip("\n").split("\n", 1)) for each in told]


def parsed(command: str) -> tuple[dict[str, str], list[str]]:
    """Split a command into the variables that it sets and the arguments of `batchsim`."""
    words = command.split()
    variables = dict(word.split("=", 1) for word in words[: words.index("batchsim")])
    return variables, words[len(variables) + 1 :]


def done_by_hand(command: str, folder: Path, served: Served | None) -> str | None:
    """Run a command that is not one of batchsim, and return its output; None for one that is."""
    match command.split():
        case ["cat", name]:
            return (folder / name).read_text("utf-8")
        case ["advance", seconds] if served:
            served.advance(float(seconds))
            return ""
        case ["time"] if served:
            return served.time()
        case ["contents", key] if served:
            return served.contents(key)
    return None


def spoken(told: str, code: int, folder: Path, *, is_continued: bool = False) -> str:
    """Return the entry of a transcript for an output and an exit code."""
    return f"{tidy(told, folder, is_continued=is_continued)}exit {code}"


def continues(command: str) -> bool:
    """Return True for a command that continues a job."""
    return command.startswith(tuple(f"batchsim {name} " for name in CONTINUES))
