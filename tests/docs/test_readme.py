"""The README runs: every command shows its true output, every Python example works.

A `console` block holds commands after `$ ` with their output below; a `python` block is run as a
script, and a `text` block right after it is what it prints. Only `sh` blocks are not run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from batchsim.domain.lifecycle import diagram

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """Something to run, and what it must print; None leaves the output open."""

    line: int
    command: list[str] | str
    output: str | None


def steps() -> list[Step]:
    found = []
    blocks = [
        (README.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in BLOCK.finditer(README)
    ]
    for (line, kind, body), after in zip(blocks, [*blocks[1:], (0, "", "")], strict=True):
        if kind == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                if command != "make test":  # it would run itself
                    found.append(Step(line, command, output))
        elif kind == "python":
            output = after[2] if after[1] == "text" else None
            found.append(Step(line, [sys.executable, "-W", "error", "-c", body], output))
    return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a fresh clone, where the commands may leave files."""
    folder = tmp_path_factory.mktemp("clone")
    for entry in ROOT.iterdir():
        if entry.name != ".git":
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.parametrize("step", steps(), ids=lambda step: f"line {step.line}")
def test_the_readme_shows_what_really_happens(step: Step, desk: Path) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MAKE", "MFLAGS"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    run = subprocess.run(
        step.command,
        shell=isinstance(step.command, str),
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    if step.output is not None:
        assert run.stdout == step.output
    else:
        assert run.returncode == 0, run.stdout


def test_the_diagram_in_the_readme_is_the_table_in_the_code() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README


def test_the_last_line_of_make_test_in_the_readme_is_what_the_makefile_prints() -> None:
    last_line = re.search(r'echo "(make test: .*)"', (ROOT / "Makefile").read_text("utf-8"))
    assert last_line is not None
    assert f"$ make test\n...\n{last_line[1]}\n" in README
