"""The README runs: every command shows its true output, every Python example works.

A `console` block holds commands after `$ ` with their output below; a `python` block is run as a
script, or by pytest if it holds tests, and a `text` block right after it is what it prints. Only `sh` blocks are not run. The steps
of a section run one after another in the same folder; a command that ends in ` &` stays while they do.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from batchsim.domain.lifecycle import diagram

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
Shown = TypeVar("Shown", list[str] | str, str | None)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


TESTING = """
import os, pathlib, sys, pytest
pathlib.Path("test_readme_example.py").write_text(sys.argv[1], "utf-8")
sys.exit(pytest.main(["-q", "-c", os.devnull, "-p", "no:asyncio", "test_readme_example.py"]))
"""
"""Runs a block of tests as a suite of its own."""


class Step(NamedTuple):
    """Something to run, and what it must print; None leaves the output open."""

    line: int
    command: list[str] | str
    output: str | None

    @property
    def stays(self) -> bool:
        """Whether the command goes on in the background while the next ones run."""
        return isinstance(self.command, str) and self.command.endswith(" &")


def steps() -> dict[str, list[Step]]:
    """What each section shows, by its heading."""
    found: dict[str, list[Step]] = {}
    blocks = [(match.start(), match[1], match[2]) for match in BLOCK.finditer(README)]
    for (start, kind, body), after in zip(blocks, [*blocks[1:], (0, "", "")], strict=True):
        before = README[:start]
        heading = re.findall(r"^#+ (.*)$", before, re.MULTILINE)[-1]
        line = before.count("\n") + 1
        section = found.setdefault(heading, [])
        if kind == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                if command != "make test":  # it would run itself
                    section.append(Step(line, command, output))
        elif kind == "python":
            output = after[2] if after[1] == "text" else None
            script = ["-c", TESTING, body] if "\ndef test_" in body else ["-c", body]
            section.append(Step(line, [sys.executable, "-W", "error", *script], output))
    return {heading: section for heading, section in found.items() if section}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder that looks like a fresh clone, where the commands may leave files."""
    for entry in ROOT.iterdir():
        if entry.name != ".git":
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


@pytest.fixture
def start(desk: Path) -> Iterator[Callable[[Step], subprocess.Popen[str]]]:
    """Starts a step as a user's shell would; what still runs at the end is stopped."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MAKE", "MFLAGS"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**keep, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
    environment["XDG_STATE_HOME"] = str(desk / ".state")
    with ExitStack() as stack:

        def start_step(step: Step) -> subprocess.Popen[str]:
            shown = step.command.removesuffix(" &") if isinstance(step.command, str) else None
            process = subprocess.Popen(
                f"exec {shown}" if step.stays else step.command,
                shell=shown is not None,
                cwd=desk,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            return process

        yield start_step


@pytest.mark.parametrize("section", steps().values(), ids=steps())
def test_the_readme_shows_what_really_happens(section, start, free_port) -> None:
    if any("curl" in step.command for step in section) and not shutil.which("curl"):
        assert "CI" not in os.environ, "CI must have curl"
        pytest.skip("this section of the README needs curl")
    for step in section:
        command, output = free_port(step.command), free_port(step.output)
        process = start(step._replace(command=command, output=output))
        if step.stays:
            printed = "".join(process.stdout.readline() for _ in output.splitlines())
        else:
            printed, _ = process.communicate(timeout=120)
        if output is None:
            assert process.returncode == 0, f"line {step.line}: {printed}"
        else:
            assert printed == output, f"line {step.line}"


@pytest.fixture
def free_port() -> Callable[[Shown], Shown]:
    """Puts a port that is free here in place of the 8000 that the README names."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

    def put(shown: Shown) -> Shown:
        if isinstance(shown, str):
            shown = shown.replace("batchsim serve &", "batchsim serve --port 8000 &")
            return shown.replace("8000", port)
        return shown

    return put


def test_a_rate_limit_fails_the_example_as_the_readme_says(start) -> None:
    (step,) = steps()["With pytest"]
    *python, tests = step.command
    harder = tests.replace('"expired_partial"', '"expired_partial,rate_limited"')
    assert harder != tests
    process = start(step._replace(command=[*python, harder]))
    printed, _ = process.communicate(timeout=120)
    assert "openai.RateLimitError" in printed
    assert "1 failed, 2 passed" in printed


def test_the_diagram_in_the_readme_is_the_table_in_the_code() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README


def test_the_last_line_of_make_test_in_the_readme_is_what_the_makefile_prints() -> None:
    last_line = re.search(r'echo "(make test: .*)"', (ROOT / "Makefile").read_text("utf-8"))
    assert last_line is not None
    assert f"$ make test\n...\n{last_line[1]}\n" in README
