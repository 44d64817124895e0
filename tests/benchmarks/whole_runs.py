"""Whole commands as multiples of one JSON pass over the same input.

For each input: the median of five runs of a pass that only splits lines and parses them with orjson, beside
`batchsim validate` and `batchsim run --fake`, each in a process of its own. The machine's speed cancels out of the
ratios; the peak memory is the largest resident size of the process, less that of a bare interpreter.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROUNDS = 5
PASS = """
import sys, time, orjson
start = time.perf_counter()
with open(sys.argv[1], 'rb') as stream:
    for line in stream:
        orjson.loads(line)
print(time.perf_counter() - start)
"""


class Cost(NamedTuple):
    """What a process took: CPU and wall seconds, and its peak memory in MB."""

    cpu: float
    wall: float
    peak: float


def measure(command: list[str]) -> tuple[Cost, str]:
    """Run one process to its end; what it took, and what it printed."""
    import time

    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"failed: {' '.join(command)}")
        process.returncode = 0
        output.seek(0)
        printed = output.read(1000).decode(errors="replace")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024), printed


def write_input(path: Path, lines: int, characters: int) -> None:
    """`lines` chat requests with a user message of about `characters` characters."""
    text = ("The quick brown fox jumps over the lazy dog. " * (characters // 45 + 1))[:characters]
    with path.open("w", encoding="utf-8") as stream:
        for number in range(lines):
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
            line = {"custom_id": f"request-{number}", "method": "POST"}
            stream.write(json.dumps({**line, "url": "/v1/chat/completions", "body": body}) + "\n")


def compare(name: str, path: Path, folder: Path) -> None:
    """Print one row per command for the input at `path`."""
    commands = {
        "validate": [sys.executable, "-m", "batchsim", "validate", str(path)],
        "run --fake": [sys.executable, "-m", "batchsim", "run", "--fake", str(path)],
    }
    commands["run --fake"] += ["-o", str(folder / "results.jsonl")]
    ratios: dict[str, list[float]] = {key: [] for key in commands}
    peaks: dict[str, list[float]] = {key: [] for key in commands}
    floors = []
    bare = measure([sys.executable, "-c", "pass"])[0]
    for _ in range(ROUNDS):
        floor = float(measure([sys.executable, "-c", PASS, str(path)])[1])
        floors.append(floor)
        for key, command in commands.items():
            cost, _ = measure(command)
            ratios[key].append(cost.wall / floor)
            peaks[key].append(cost.peak - bare.peak)
            shutil.rmtree(folder / "results.jsonl.job", ignore_errors=True)
            (folder / "results.jsonl").unlink(missing_ok=True)
    for key in commands:
        print(
            f"| {name} | {key} | {statistics.median(ratios[key]):.2f}x "
            f"({min(ratios[key]):.2f}-{max(ratios[key]):.2f}) | {statistics.median(peaks[key]):.0f} MB |"
        )
    print(f"| {name} | one orjson pass | {statistics.median(floors):.3f} s | |")


def main() -> None:
    """Print the table in Markdown."""
    print("| input | command | wall time, median (range) | memory over the interpreter's |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, lines, characters in (
            ("50,000 lines of ~400 B", 50_000, 260),
            ("50,000 lines of ~4 KB, 200 MB", 50_000, 3_750),
        ):
            path = folder / "input.jsonl"
            write_input(path, lines, characters)
            compare(label, path, folder)


if __name__ == "__main__":
    main()
