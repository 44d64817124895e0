"""Check that a listed batch runs the lines of its shard, where only its metadata say so.

Theory of operation. Metadata can be copied: by another tool, or by a person who sends a batch again
by hand. So they do not prove that a batch is the job's. Its input file does: by its name, which
ends in a hash of the content, and its size, or else by its content. Reading these is free. A batch
over a file that this job uploaded needs no check.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.errors import AuthenticationFailed, RateLimited, Refused
from batchsim.runner.effects.context import JobContext
from batchsim.runner.effects.ownership import owner
from batchsim.runner.job.remote_names import holds
from batchsim.runner.journal.shard_entries import Planned


def runs_lines_of(
    backend: Backend, batch: Batch, plan: Planned, *, reads: bool = False
) -> bool | None:
    """Return whether the batch's input holds the lines planned.

    None stands for an input that is gone or may not be read. With `reads` the content decides,
    whatever the file's name says.
    """
    try:
        file = backend.retrieve_file(batch.input_file_id)
        if file.bytes and file.bytes != plan.bytes:
            return False
        if holds(file.filename, plan) and not reads:
            return True
        digest = hashlib.sha256()
        with closing(backend.read_file(batch.input_file_id)) as pieces:  # type: ignore[type-var] # a generator
            for piece in pieces:
                digest.update(piece)
        return digest.hexdigest() == plan.fingerprint
    except (AuthenticationFailed, RateLimited):
        raise
    except Refused:
        return False if batch.request_counts.total not in (0, plan.lines) else None


def without_copies(context: JobContext, listed: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches, except those that have this job's metadata and another input."""
    state, verdicts = context.state, context.memory.has_other_input
    for batch in listed:
        number = owner(state, batch)
        is_known = batch.id in state.batch_shards or batch.input_file_id in state.file_shards
        if number is not None and not is_known and batch.input_file_id:
            if batch.id not in verdicts:
                plan = state.shards[number].plan
                found = runs_lines_of(context.backend, batch, plan, reads=True)
                verdicts[batch.id] = found is False
            if verdicts[batch.id]:
                continue
        yield batch
