"""Download a result file: complete, hashed, and resumed where a transfer broke.

Theory of operation. The content goes into a partial file, which is renamed when it is complete and
on the disk. After a broken transfer the next try of this process goes on after the last byte, if
the backend can read from there. Another process cannot know which bytes reached the disk, and
starts over.
"""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

from batchsim.backends import Resumes
from batchsim.errors import NotFound, RateLimited, Refused, TransferBroken
from batchsim.jsonl import BLOCK, sync_folder
from batchsim.runner.effects.context import JobContext, batch_of, reason_of
from batchsim.runner.job import ShardState
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import Downloaded, FileGone
from batchsim.runner.schedule.actions import Download

OUT_OF_RANGE = 416
"""The HTTP status for a part that begins after the end of the content."""

MORE_THAN_SAID = 64 << 20
"""Bytes that may come beyond the size that the service tells, which may be wrong."""

LARGEST = 64 << 30
"""Bytes that may come of a file whose size is not told."""


def download(context: JobContext, action: Download, shard: ShardState) -> Entry:
    path = context.directory.file(action.shard, action.source)
    try:
        size, digest = fetch(context, action.file_id, path)
    except NotFound as error:
        context.backend.retrieve_batch(batch_of(shard).id)  # a wrong key knows no batch either
        if context.backend.clock.now() < shard.since + context.policy.service_times.late_files:
            return context.postponed(action.shard, error)
        return FileGone(
            shard=action.shard,
            source=action.source,
            file_id=action.file_id,
            reason=reason_of(error),
        )
    return Downloaded(
        shard=action.shard, source=action.source, file_id=action.file_id, bytes=size, sha256=digest
    )


def fetch(context: JobContext, file_id: str, path: Path) -> tuple[int, str]:
    """Download a result file to `path`. Return its size and its SHA-256 in hexadecimal."""
    expected = context.backend.retrieve_file(file_id).bytes
    most = expected + MORE_THAN_SAID if expected else LARGEST
    partial = path.with_name(f".{path.name}.part")
    digest = hashlib.sha256()
    may_resume = context.memory.partials.get(partial) == file_id and isinstance(
        context.backend, Resumes
    )
    context.memory.partials[partial] = file_id
    with _opened(partial, keep=may_resume) as stream:
        size = _pass_on(stream, digest.update)
        with closing(_pieces(context, file_id, size)) as pieces:
            try:
                for piece in pieces:
                    if context.stopping.is_set():
                        raise TransferBroken("the run has ended")
                    stream.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    if size > most:
                        del context.memory.partials[partial]
                        raise TransferBroken(f"{file_id} does not end after {size:,} bytes")
            except Refused as error:
                if isinstance(error, RateLimited) or error.status != OUT_OF_RANGE:
                    raise
                del context.memory.partials[partial]
                raise TransferBroken(f"{file_id} is shorter than what came of it") from error
        if size < expected:
            del context.memory.partials[partial]  # nothing broke, so what came may be another file
            raise TransferBroken(f"{file_id} ended after {size:,} of {expected:,} bytes")
        stream.flush()
        if context.directory.outlasts_power:
            os.fsync(stream.fileno())
    partial.replace(path)
    if context.directory.outlasts_power:
        sync_folder(path.parent)
    del context.memory.partials[partial]
    context.memory.verified.add(path)
    return size, digest.hexdigest()


def _pieces(context: JobContext, file_id: str, start: int) -> Generator[bytes, None, None]:
    backend = context.backend
    pieces: Iterator[bytes]
    if start and isinstance(backend, Resumes):
        pieces = backend.read_file_from(file_id, start)
    else:
        pieces = backend.read_file(file_id)
    return cast(Generator[bytes, None, None], pieces)


def _opened(path: Path, *, keep: bool) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags | (0 if keep else os.O_TRUNC), 0o600), "r+b")


def _pass_on(stream: BinaryIO, take: Callable[[bytes], object]) -> int:
    """Let `take` have what the stream holds already. Return how many bytes that is."""
    size = 0
    while block := stream.read(BLOCK):
        take(block)
        size += len(block)
    return size
