"""The registry: an index of the directories of jobs that were begun on this machine.

Each job has one small file in the user's state directory, named after a hash of its directory, so
that two commands that begin jobs at once cannot overwrite each other's. The index is a convenience:
no job needs it, and an index that cannot be written stops nothing. XDG_STATE_HOME is where state is
kept (XDG base directory specification).
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from batchsim.cli.terminal.state_folder import state_folder
from batchsim.jsonl import replace_file


class Registered(NamedTuple):
    """A job: the path of its directory, and when it was last begun or continued."""

    path: Path
    at: float
    """Unix seconds."""


def register(job: Path, at: float) -> None:
    path = Path(os.path.realpath(job))
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replace_file(folder / _name(path)) as stream:
            stream.write(json.dumps({"job": str(path), "at": at}).encode())
    except (OSError, RuntimeError, TypeError):  # no home, no room, a name that is no text
        return


def registered() -> list[Registered]:
    """Return the jobs of the index, the latest first. Unreadable entries are passed over."""
    return sorted(_entries(), key=lambda entry: (-entry.at, entry.path))


def forget(job: Path) -> None:
    (_folder() / _name(job)).unlink(missing_ok=True)


def _folder() -> Path:
    return state_folder() / "jobs"


def _name(job: Path) -> str:
    return hashlib.blake2b(os.fsencode(job), digest_size=12).hexdigest() + ".json"


def _entries() -> Iterator[Registered]:
    try:
        paths = list(_folder().glob("*.json"))
    except (OSError, RuntimeError):
        return
    for path in paths:
        try:
            value = json.loads(path.read_bytes())
            yield Registered(Path(value["job"]), float(value["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
