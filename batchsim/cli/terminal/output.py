"""The output of a command: a file of the user's, or standard output."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from batchsim.errors import UsageError

STANDARD_OUTPUT = "-"


def refuse_to_overwrite(path: Path, *, force: bool) -> None:
    """Raises UsageError when `path` cannot be a new file; `force` allows an existing one."""
    check_folder(path)
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path} is not an ordinary file", hint="name a file: -o PATH")
    if not force:
        raise UsageError(f"{path} exists", hint="name another file, or replace it with --force")


def check_folder(path: Path) -> None:
    """Raises UsageError when the directory of `path` does not exist; it may be mistyped."""
    try:
        is_there = path.parent.is_dir()
    except OSError as error:
        reason = f"nothing can be written there: {error.strerror}"
        raise UsageError(f"{reason}: {path}", hint="name another file: -o PATH") from None
    if not is_there:
        raise UsageError(f"the directory {path.parent} does not exist", hint="make it first")


def near(path: Path) -> str:
    """Return `path` relative to the present folder, if it lies in it."""
    try:
        inside = Path(os.path.realpath(path)).relative_to(os.path.realpath(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
    return str(inside)


def print_json(value: Mapping[str, Any]) -> None:
    """Print an object on one line of stdout.

    Names of files need not be UTF-8. Other bytes are escaped as Python does it, so that a reader in
    Python gets the name back.
    """
    import orjson

    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        text = json.dumps(value, separators=(",", ":"))
    click.echo(text)
