r"""Lines in and out of JSONL files, as bytes.

A line ends at the byte `\n` and nowhere else: U+2028, U+0085 or a form feed inside a string do not
end it. Lines are numbered from 1, as people and the API count them, and keep their byte offset.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batchsim.errors import InputError

BLOCK = 1 << 20
"""How many bytes are read at once."""


class Line(NamedTuple):
    r"""A line without its `\n`: its number from 1, the offset of its first byte, its bytes."""

    number: int
    offset: int
    content: bytes


def read_lines(stream: BinaryIO, *, longest: int = 1 << 30) -> Iterator[Line]:
    """The lines of `stream` from where it stands, in order, blank ones too.

    Memory holds one block and the unfinished line. Raises InputError once a line exceeds
    `longest` bytes, having read at most one block more than that.
    """
    number, offset = 1, 0
    unfinished: list[bytes] = []
    size = 0
    while block := stream.read(BLOCK):
        head, newline, rest = block.partition(b"\n")
        unfinished.append(head)
        size += len(head)
        if size > longest:
            raise InputError(
                f"line {number} is longer than {longest:,} bytes",
                line=number,
                hint="a JSONL file has one JSON object per line, each ended by a newline",
            )
        if not newline:
            continue
        content = b"".join(unfinished)
        yield Line(number, offset, content)
        number += 1
        offset += len(content) + 1
        contents = rest.split(b"\n")
        tail = contents.pop()
        for content in contents:
            yield Line(number, offset, content)
            number += 1
            offset += len(content) + 1
        unfinished = [tail]
        size = len(tail)
    if size:
        yield Line(number, offset, b"".join(unfinished))


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is whole and on the disk.

    Writes go to a temporary file beside `path`, which is flushed, synced and renamed at the end.
    When the block raises, the temporary file is removed and `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the system can open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
