"""Verify that the downloads and indexes in the job directory are unchanged, and mend them.

Theory of operation. The journal has the hash of every download. Files that this process wrote are
trusted; those of an earlier process may have been changed, by a failing disk or a person. So they
are read again before their results are collected or written. A changed download is dropped and
downloaded again as long as its shard is not collected; later the new download must have the
recorded hash, so that the index made from it stays true. A changed index is made anew from the
downloads, that of the invalid lines from the input.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from batchsim.errors import JournalError
from batchsim.runner.effects import finish_shard
from batchsim.runner.effects.context import JobContext
from batchsim.runner.effects.download import fetch
from batchsim.runner.job import ShardState, Stage
from batchsim.runner.journal.shard_entries import Downloaded
from batchsim.runner.planning.skipped_lines import SHARD
from batchsim.runner.results.shard_index import is_whole


def damaged(context: JobContext, shard: ShardState) -> Iterator[Downloaded]:
    """Yield the shard's downloads that have changed; each is read once a process."""
    for file in shard.files:
        if isinstance(file, Downloaded):
            path = context.directory.file(file.shard, file.source)
            if path in context.memory.verified:
                continue
            if sha256_of(path) != file.sha256:
                yield file
            else:
                context.memory.verified.add(path)


def mend(context: JobContext) -> None:
    """Mend every download and index. Raises JournalError when the service has other bytes now."""
    for shard in context.state.shards.values():
        for file in damaged(context, shard):
            path = context.directory.file(file.shard, file.source)
            _, digest = fetch(context, file.file_id, path)
            if digest != file.sha256:
                context.memory.verified.discard(path)
                raise JournalError(
                    f"{path} was damaged, and {file.file_id} has other bytes now than when it was "
                    "downloaded",
                    hint="a result file never changes: see whose service this is",
                )
        _mend_index(context, shard)
    _mend_skipped(context)


def _mend_index(context: JobContext, shard: ShardState) -> None:
    number = shard.plan.shard
    path = context.directory.index(number)
    if shard.stage is not Stage.COLLECTED or path in context.memory.verified:
        return
    if is_whole(context.directory, number, shard.plan.lines):
        context.memory.verified.add(path)
    elif finish_shard.collect_again(context, shard) != shard.tally:
        raise JournalError(
            f"{path} was damaged, and the results beside it are not those that it was made from",
            hint="restore the job directory, or take the job's batches over: batchsim recover",
        )


def _mend_skipped(context: JobContext) -> None:
    skipped, path = context.state.skipped, context.directory.index(SHARD)
    if skipped is None or path in context.memory.verified:
        return
    if not is_whole(context.directory, SHARD, skipped.lines):
        found = context.files.plan_again(context.files.source).skipped
        if found is None or found.entry() != skipped:
            raise JournalError(
                f"{path} was damaged, and other lines of the input are invalid now than then",
                hint="give the command that began the job, as it was given; else restore the file",
            )
        found.write(context.directory)
    context.memory.verified.add(path)


def sha256_of(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None
