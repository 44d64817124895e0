"""Python examples in processes of their own that need not import everything again.

This module is loaded once, in a server process (multiprocessing's `forkserver`); every example runs
in a fork of it. That saves the seconds that openai, pytest and hypothesis take to be imported.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import hypothesis  # noqa: F401 - to have it
import openai
import pytest

import batchsim

PATIENCE = 600
"""Seconds that an example may take where many others run: the model check takes 25 by itself."""

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

for name in batchsim.__all__:
    getattr(batchsim, name)
with batchsim.intercept(batchsim.FakeBackend()), openai.OpenAI() as client:
    client.batches.list()  # which imports most of openai, and of the fake


def run_forked(
    script: str, folder: Path, environment: Mapping[str, str], *, is_suite: bool
) -> tuple[str, int]:
    """Run a script, or a suite of pytest, in `folder`: what it printed, and its exit code."""
    output = folder / ".printed"
    target = _run_suite if is_suite else _run_script
    process = CONTEXT.Process(target=_in, args=(folder, dict(environment), target, script))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode is not None, "the example did not end"
    return output.read_text("utf-8"), process.exitcode


def _in(folder: Path, environment: dict[str, str], target, script: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    printed = os.open(".printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    target(script)


def _run_script(script: str) -> None:
    warnings.simplefilter("error")
    exec(compile(script, "<example>", "exec"), {"__name__": "__main__"})


def _run_suite(script: str) -> None:
    Path("test_example.py").write_text(script, "utf-8")
    known = "ignore::pytest.PytestAssertRewriteWarning"  # of what this module has imported
    options = ["-q", "-c", os.devnull, "-W", "error", "-W", known]
    plugins = ["-p", "no:asyncio", "-p", "no:schemathesis"]
    sys.exit(pytest.main([*options, *plugins, "test_example.py"]))
