r"""Read JSONL files line by line, and replace files safely. All content is bytes.

A line ends at the byte `\n` and nowhere else: U+2028, U+0085 or a form feed inside a string do not
end it. Lines are numbered from 1, as people and the API count them, and keep their byte offset.
"""

import io
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batchsim.errors import InputError

BLOCK = 1 << 20  # bytes that are read at once
_LINES_TOGETHER = 128  # about so many are a block: it stays in the processor's cache

SMALLEST_BLOCK, _LARGEST_BLOCK = 1 << 16, 1 << 18
LONGEST = 1 << 30  # the most bytes of a line, where nothing else bounds it

_AHEAD = 128 << 10
"""Bytes that one request to read ahead brings at least; Linux takes less than it is asked for."""

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


class Line(NamedTuple):
    r"""A line without its `\n`: its number from 1, the offset of its first byte, its bytes."""

    number: int
    offset: int
    content: bytes


class Block(NamedTuple):
    r"""Neighbouring lines without their `\n`: number and offset of the first, bytes of all."""

    number: int
    offset: int
    contents: list[bytes]

    def lines(self) -> Iterator[Line]:
        number, offset, contents = self
        for content in contents:
            yield _new_tuple(Line, (number, offset, content))
            number += 1
            offset += len(content) + 1


def read_blocks(stream: BinaryIO, *, longest: int = LONGEST) -> Iterator[Block]:
    """Read the lines of `stream` from its position on, in order, blank ones too, in blocks.

    Memory holds one block and the unfinished line. Raises InputError once a line exceeds
    `longest` bytes, having read at most one block more than that.
    """
    number, offset = 1, 0
    unfinished: list[bytes] = []
    size = 0
    together = SMALLEST_BLOCK
    while piece := stream.read(min(together, longest)):
        contents = piece.split(b"\n")
        unfinished.append(contents[0])
        size += len(contents[0])
        if size > longest:
            raise _too_long(number, longest)
        if len(contents) == 1:
            continue
        contents[0] = b"".join(unfinished)
        unfinished = [contents.pop()]
        size = len(unfinished[0])
        yield Block(number, offset, contents)
        together = _LINES_TOGETHER * len(piece) // len(contents)
        together = min(max(together, SMALLEST_BLOCK), _LARGEST_BLOCK)
        number += len(contents)
        offset += sum(map(len, contents)) + len(contents)
    if size:
        yield Block(number, offset, [b"".join(unfinished)])


def read_lines(stream: BinaryIO, *, longest: int = LONGEST) -> Iterator[Line]:
    for block in read_blocks(stream, longest=longest):
        yield from block.lines()


def raw_lines(stream: BinaryIO, longest: int = LONGEST) -> Iterator[bytes]:
    """Read the lines of `stream` with their line ends, in half the time of `read_lines`.

    What is longer than `longest` bytes comes in pieces of that size.
    """
    return iter(partial(stream.readline, longest), b"")


def _too_long(number: int, longest: int) -> InputError:
    return InputError(
        f"line {number} is longer than {longest:,} bytes",
        line=number,
        hint="a JSONL file has one JSON object per line, each ended by a newline",
    )


def open_input(path: Path | str) -> BufferedReader:
    """Open an input file for reading bytes, if it is an ordinary file.

    Raises InputError, with what to do, for anything that is missing, not allowed, or not an
    ordinary file: a folder, device, socket or pipe could block for ever or never end.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _O_BINARY)
    except (OSError, ValueError) as error:
        raise _cannot_open(path, error) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for test, name in _KINDS if test(mode)), "special file")
        raise InputError(
            f"the input is a {kind}, not a file",
            path=path,
            hint="give a JSONL file, or pipe the lines in and give - as the input",
        )
    return os.fdopen(descriptor, "rb")


_O_BINARY = getattr(os, "O_BINARY", 0)
_HAS_PREAD = hasattr(os, "pread")
_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def _cannot_open(path: Path | str, error: OSError | ValueError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(
            "there is no such file", path=path, hint="check the path for a typing error"
        )
    if isinstance(error, PermissionError):
        return InputError(
            "the file may not be read", path=path, hint="give yourself permission to read it"
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"the file cannot be opened: {reason.lower()}", path=path)


def expect_scattered_reads(file: io.FileIO) -> None:
    """Ask the system to read the whole file ahead: it is about to be read in any order.

    What is on the disk alone would else be waited for read by read.
    """
    if hasattr(os, "posix_fadvise"):
        descriptor = file.fileno()
        for start in range(0, os.fstat(descriptor).st_size, _AHEAD):
            os.posix_fadvise(descriptor, start, _AHEAD, os.POSIX_FADV_WILLNEED)


def read_at(file: io.FileIO, start: int, length: int) -> bytes:
    """Up to `length` bytes from `start` on, in one call of the system where it has one."""
    if _HAS_PREAD:
        return os.pread(file.fileno(), length, start)
    file.seek(start)
    return file.read(length)


def read_all_at(file: io.FileIO, starts: Iterable[int], lengths: Iterable[int]) -> list[bytes]:
    places = zip(starts, lengths, strict=True)
    if _HAS_PREAD:
        read, descriptor = os.pread, file.fileno()
        return [read(descriptor, length, start) for start, length in places]
    return [read_at(file, start, length) for start, length in places]


@contextmanager
def replace_file(path: Path, *, private: bool = False, synced: bool = True) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is whole and on the disk.

    Writes go to a temporary file beside `path`, which is flushed, synced and renamed at the end.
    When the block raises, the temporary file is removed and `path` is as it was. A `private` file
    is for its owner alone to read. One that is not `synced` may be empty after a power failure.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        mode = 0o600 if private else 0o666
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            yield stream
            stream.flush()
            if synced:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if synced:
        sync_folder(path.parent)


@contextmanager
def replace_or_remove(path: Path, *, synced: bool = True) -> Iterator[Callable[[bytes], object]]:
    """Replace the private file `path` by what is written, or remove it when nothing is."""
    writes: list[Callable[[bytes], object]] = []
    with ExitStack() as stack:

        def write(content: bytes) -> object:
            if not writes:
                writes.append(
                    stack.enter_context(replace_file(path, private=True, synced=synced)).write
                )
            return writes[0](content)

        yield write
    if not writes:
        path.unlink(missing_ok=True)


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
