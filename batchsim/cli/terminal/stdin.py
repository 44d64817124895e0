"""Standard input, copied to a file, because an input is read more than once."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

import click

from batchsim.errors import InputError
from batchsim.jsonl import BLOCK, open_input

STANDARD_INPUT = "-"


def keep_standard_input(
    spool: IO[bytes], *, observe: Callable[[bytes], object] | None = None
) -> None:
    """Copy standard input to `spool`; `observe` sees every block. Raises InputError."""
    if sys.stdin is None:
        raise InputError("standard input is closed", hint="pipe the lines in, or name a file")
    if sys.stdin.isatty():
        click.echo("reading requests from the terminal; end them with Ctrl-D", err=True)
    try:
        while block := sys.stdin.buffer.read(BLOCK):
            if observe is not None:
                observe(block)
            spool.write(block)
        spool.seek(0)
    except OSError as error:
        raise InputError(f"standard input cannot be kept: {error.strerror}") from None


@contextmanager
def opened_input(source: str) -> Iterator[BinaryIO]:
    """Open the input as a stream that can seek. Raises InputError for what cannot be read."""
    if source != STANDARD_INPUT:
        with open_input(source) as stream:
            yield stream
        return
    with tempfile.TemporaryFile(prefix="batchsim-") as spool:
        keep_standard_input(spool)
        yield spool


class Spooled(NamedTuple):
    path: Path


@contextmanager
def kept_input(requests: str) -> Iterator[tuple[Path | Spooled, str]]:
    """Yield the input, and the name for its job; standard input is named after its content."""
    if requests != STANDARD_INPUT:
        yield Path(requests), requests
        return
    digest = hashlib.blake2b(digest_size=6)
    with tempfile.TemporaryDirectory(prefix="batchsim-") as folder:
        spooled = Spooled(Path(folder) / "stdin.jsonl")
        with spooled.path.open("wb") as spool:
            keep_standard_input(spool, observe=digest.update)
        try:
            yield spooled, f"batchsim-{digest.hexdigest()}"
        except InputError as error:
            error.path = "standard input"
            raise


def move_into(job: Path, source: Path | Spooled) -> Path:
    """Return the path of the input; standard input is moved into the job directory first."""
    if isinstance(source, Path):
        return source
    return Path(shutil.move(source.path, job / source.path.name))
