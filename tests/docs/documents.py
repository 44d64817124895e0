"""The README and the chapters of the guide as programs: sections, and the steps that each shows.

Four kinds of blocks count:

1. `console`: commands after `$ `, each with its output below. The command `make test` is not run
   (it would run itself); a command that ends in ` &` stays until the end of its section.
2. `python`: a script, or a suite for pytest if it has tests. A `text` block right after it is what
   the script prints.
3. A block of any kind with a path after the kind, as in "```toml plan.toml": the file is written
   for the steps that follow.
4. `sh`, `yaml` and `dockerfile`: not run, but the commands of batchsim in them are looked up.

The steps of a section run one after another in one folder, which looks like a fresh clone.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, Self

from tests.docs.warm import PATIENCE, run_forked

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "batchsim" / "guide"
DOCUMENTS = {path.stem: path for path in (ROOT / "README.md", *sorted(GUIDE.glob("*.md")))}

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)

PORT = "8000"
"""The port that the documents name; another one is used in its place, one that is free."""


class Block(NamedTuple):
    """A fenced block: `line` is that of its first fence, `start` the offset of its body."""

    kind: str
    path: str | None
    body: str
    line: int
    start: int


class Step(NamedTuple):
    """Something to run and the output that is shown for it; None leaves the output open."""

    line: int
    kind: Literal["command", "script", "suite"]
    text: str
    output: str | None = None
    start: int = 0
    """The offset of the output in the document."""

    @property
    def stays(self) -> bool:
        """Whether the command goes on in the background while the next ones run."""
        return self.kind == "command" and self.text.endswith(" &")


class File(NamedTuple):
    """A file to write."""

    path: str
    content: str


@dataclass
class Section:
    """A heading and the blocks up to the next heading."""

    document: Path
    heading: str
    blocks: list[Block] = field(default_factory=list)

    def steps(self) -> Iterator[Step | File]:
        """What the section shows, in order."""
        for block, after in pairwise([*self.blocks, None]):
            if block.path is not None:
                yield File(block.path, block.body)
            elif block.kind == "console":
                yield from _commands(block)
            elif block.kind == "python":
                kind = "suite" if "\ndef test_" in block.body else "script"
                if after is not None and after.kind == "text":
                    yield Step(block.line, kind, block.body, after.body, after.start)
                else:
                    yield Step(block.line, kind, block.body)


def sections(document: Path) -> Iterator[Section]:
    """The sections of a document that show something to run."""
    text = document.read_text("utf-8")
    blocks = [
        Block(found[1], found[2], found[3], text.count("\n", 0, found.start()) + 1, found.start(3))
        for found in BLOCK.finditer(text)
    ]
    prose = BLOCK.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    headings = list(HEADING.finditer(prose))
    for heading, after in pairwise([*headings, None]):
        end = after.start() if after is not None else len(text)
        inside = [block for block in blocks if heading.start() < block.start < end]
        section = Section(document, heading[1], inside)
        if any(isinstance(step, Step) for step in section.steps()):
            yield section


def _commands(block: Block) -> Iterator[Step]:
    line, start = block.line + 1, block.start
    for part in re.split(r"^(?=\$ )", block.body, flags=re.MULTILINE):
        command, _, output = part.partition("\n")
        if command.startswith("$ ") and command != "$ make test":
            yield Step(line, "command", command[2:], output, start + len(command) + 1)
        line += part.count("\n")
        start += len(part)


class Printed(NamedTuple):
    """What a step printed, and its exit code (0 of one that stays)."""

    text: str
    code: int


class Desk:
    """A folder that looks like a fresh clone, and a shell in it, as a user has one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._environment = _environment(folder)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = str(listener.getsockname()[1])
        for entry in ROOT.iterdir():
            if entry.name != ".git":
                (folder / entry.name).symlink_to(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, file: File) -> None:
        """Write a file that a document shows."""
        path = self._folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content, "utf-8")

    def run(self, step: Step) -> Printed:
        """Run a step, both streams in one; of one that stays, read as much as is shown."""
        if step.kind != "command":
            is_suite = step.kind == "suite"
            text, code = run_forked(step.text, self._folder, self._environment, is_suite=is_suite)
        elif step.stays:
            text, code = _first_lines(self._start(step), len((step.output or "").splitlines())), 0
        else:
            process = self._start(step)
            text, _ = process.communicate(timeout=PATIENCE)
            code = process.returncode
        if text and not text.endswith("\n"):
            text += "\n"  # a block ends with a whole line
        return Printed(text.replace(self._port, PORT), code)

    def _start(self, step: Step) -> subprocess.Popen[str]:
        command = step.text.replace("batchsim serve &", f"batchsim serve --port {PORT} &")
        command = command.replace(PORT, self._port)
        process = subprocess.Popen(
            f"exec {command.removesuffix(' &')}" if step.stays else command,
            shell=True,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._stack.enter_context(process)
        self._stack.callback(process.terminate)
        return process


def _first_lines(process: subprocess.Popen[str], count: int) -> str:
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(count))


def _environment(folder: Path) -> dict[str, str]:
    away = ("OPENAI_", "BATCHSIM_", "MAKE", "MFLAGS", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {
        "PATH": path,
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "XDG_STATE_HOME": str(folder / ".state"),
    }
    return {**kept, **own}
