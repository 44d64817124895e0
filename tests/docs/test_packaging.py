"""What an archive of the project holds, and what is said of it."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from batchsim.cli.commands.guide import CHAPTERS
from tests.docs.documents import GUIDE

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GIVEN = {"pyproject.toml", ".gitignore"}
"""What every archive holds without being named."""


def test_an_archive_of_the_source_holds_all_of_it() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is such an archive")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    top = {Path(line).parts[0] for line in tracked.stdout.splitlines()}
    assert top == {*PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"], *GIVEN}


def test_the_guide_is_in_the_wheel() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["batchsim"]}  # all that is in the folder, of whatever kind
    assert GUIDE.is_relative_to(ROOT / "batchsim")
    assert {path.stem for path in GUIDE.iterdir()} == set(CHAPTERS)


def test_the_pythons_that_are_promised_are_those_that_are_classified() -> None:
    named = [
        each.rpartition(" ")[2]
        for each in PROJECT["project"]["classifiers"]
        if each.startswith("Programming Language :: Python :: 3.")
    ]
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]
