"""Work per line, counted: the same on every machine, however busy it is.

A clock says how long something took, and never the same twice; how often a function is called does
not depend on the machine. So continuous integration compares counts. What is counted for a line is
the difference between 2,000 lines and 1,000, divided by 1,000: beginning and ending cancel out.

- `calls`: functions of batchsim that were entered, and generators that were resumed. Comprehensions
  are left out, since only some releases of Python make calls of them.
- `parses`: calls of orjson.loads, and of msgspec's decoders.
- `file`: operations on files: reads, writes, seeks, syncs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
from msgspec.json import Decoder

import batchsim
from bench.inputs import SHAPES

FEW, MANY = 1_000, 2_000
KINDS = ("calls", "parses", "file")

_HOME = str(Path(batchsim.__file__).parent) + os.sep
_FILE_OPERATIONS = frozenset({"read", "readinto", "readline", "pread", "write", "seek", "fsync"})

Counts = Mapping[str, Mapping[str, float]]
"""For each activity, what is done for a line, by kind."""


def validate(path: Path) -> None:
    """Check an input."""
    from batchsim.domain.validation.input_file import InputRules
    from batchsim.jsonl import read_blocks

    rules = InputRules()
    with path.open("rb") as stream:
        for _ in rules.walk(read_blocks(stream)):
            pass


def fake(path: Path) -> None:
    """Have the fake run a batch."""
    from bench import programs

    programs.fake(str(path))


def run(path: Path) -> None:
    """Run a job on the fake, both on the disk."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.runner.run import run
    from batchsim.stores.disk import DiskStore

    with tempfile.TemporaryDirectory() as folder:
        store = DiskStore(Path(folder) / "fake")
        backend = FakeBackend(store=store, pacing="2024")
        run(path, backend, results=Path(folder) / "results.jsonl")
        backend.close()


ACTIVITIES: tuple[Callable[[Path], None], ...] = (validate, fake, run)


def counted(activity: Callable[[Path], None], lines: int) -> Counter[str]:
    """What an activity over an input of so many lines does, by kind."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code.co_filename.startswith(_HOME) and not code.co_name.startswith("<"):
                counts["calls"] += 1
        elif event == "c_call":
            if called is orjson.loads or isinstance(getattr(called, "__self__", None), Decoder):
                counts["parses"] += 1
            elif called.__name__ in _FILE_OPERATIONS:
                counts["file"] += 1

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.jsonl"
        SHAPES["short"]._replace(lines=lines).write(path)
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            activity(path)
        finally:
            sys.setprofile(before)
    return counts


def per_line() -> Counts:
    """What each activity does for a line."""
    found: dict[str, dict[str, float]] = {}
    for activity in ACTIVITIES:
        counted(activity, 10)  # so that what is imported late is not counted
        few, many = counted(activity, FEW), counted(activity, MANY)
        found[activity.__name__] = {
            kind: round((many[kind] - few[kind]) / (MANY - FEW), 2) for kind in KINDS
        }
    return found


def main() -> None:
    """Write the counts to the file that the last argument names."""
    Path(sys.argv[-1]).write_text(json.dumps(per_line(), indent=2) + "\n", "utf-8")
