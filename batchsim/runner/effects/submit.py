"""Uploading and creating, one request at a time, each with its intent before it.

Theory of operation. What is paid for is the create, and no service can be asked to do it only once.
So: an input file is uploaded under a name of its own and meant for a single batch; the list is
looked into before every create (see _look_first); and when no answer came, the outcome is unknown until the list
shows the batch (ownership decides which) or has had time to settle without showing it. What may be
done then is the policy's to say (see OnUnknown).
"""

from __future__ import annotations

from collections.abc import Iterator

from batchsim.clock import steady
from batchsim.errors import JournalError, NotFound, OutcomeUnknown, Refused, Unavailable
from batchsim.runner.effects.batch_list import listed_since
from batchsim.runner.effects.context import Entries, JobContext, reason_of
from batchsim.runner.effects.ownership import new_batches, since
from batchsim.runner.job import ShardState
from batchsim.runner.job.remote_names import filename_of, metadata_of, request_id_of, upload_id_of
from batchsim.runner.journal import shard_entries
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.policy import misses_file
from batchsim.runner.schedule.budget import cost_bound

SHARED = 1.0
"""For how many seconds a look into the list serves the first creates of other shards as well."""

SKEW = 86_400
"""How far the service's clock may differ from ours, in seconds, when the list of files is read."""


def upload(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    """Send the shard's lines under a name that was never used."""
    attempt = shard.attempt + 1
    filename = filename_of(context.started, shard.plan, attempt, context.directory.site)
    request_id = upload_id_of(context.started, shard.plan, attempt)
    yield shard_entries.UploadIntended(
        shard=number, attempt=attempt, filename=filename, request_id=request_id
    )
    try:
        with ShardContent(context.files.source, shard.plan) as content:
            file = context.backend.upload_file(
                content.buffered(), filename=filename, request_id=request_id
            )
    except OutcomeUnknown as error:
        yield context.postponed(number, error)
    except (Refused, Unavailable, JournalError) as error:
        yield shard_entries.UploadDropped(shard=number, reason=reason_of(error))
        yield from context.failed(number, error)
    else:
        yield shard_entries.Uploaded(shard=number, file_id=file.id, created_at=file.created_at)


def find_upload(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    """Our name is used once only, so a file of that name and size is ours and whole."""
    name, size = shard.filename, shard.plan.bytes
    for file in listed_since(context.list_files, shard.since - SKEW):
        if file.filename == name and file.bytes == size:
            yield shard_entries.Uploaded(
                shard=number, file_id=file.id, created_at=file.created_at, adopted=True
            )
            return
    yield shard_entries.UploadDropped(shard=number, reason=f"{name} did not arrive")


def create(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    """Ask for a batch, unless the list shows one already."""
    if shard.file_id is None:
        raise JournalError(f"shard {number} is uploaded but has no file")
    yield from _look_first(context, shard)
    if context.state.shards[number].batch is not None:
        return
    request_id = request_id_of(context.started, shard.plan, shard.attempt, shard.sent + 1)
    yield shard_entries.CreateIntended(
        shard=number, file_id=shard.file_id, request_id=request_id, reserved=cost_bound(shard)
    )
    try:
        batch = context.backend.create_batch(
            input_file_id=shard.file_id,
            endpoint=shard.plan.endpoint,
            metadata=metadata_of(
                context.started,
                shard.plan,
                shard.attempt,
                context.state.last_shards[shard.plan.round],
            ),
            request_id=request_id,
        )
    except OutcomeUnknown as error:
        yield shard_entries.CreateUnknown(shard=number, reason=reason_of(error))
    except (Refused, Unavailable) as error:
        yield shard_entries.CreateRefused(shard=number, reason=reason_of(error))
        yield from context.failed(number, error)
        was_refused_to_another_process = shard.was_refused and shard.setback is None
        if was_refused_to_another_process and isinstance(error, Refused) and misses_file(error):
            yield shard_entries.UploadDropped(shard=number, reason=f"{shard.file_id} is gone")
    else:
        if batch.input_file_id in (shard.file_id, ""):
            yield shard_entries.Created(shard=number, batch=batch)
        else:
            reason = f"the answer to the create was about {batch.input_file_id}"
            yield shard_entries.CreateUnknown(shard=number, reason=reason)


def find_batch(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    """Look for the batch of a create of unknown outcome.

    The list has had time to settle when both the clock of the backend, which people set, and the
    steady one say so.
    """
    yield from _look(context, shard)
    if context.state.shards[number].batch is not None:
        return
    clock, settle = context.backend.clock, context.policy.list_lag
    begun = context.memory.search_began.setdefault(
        (number, shard.sent, shard.is_fenced), steady(clock)
    )
    is_search_over = clock.now() >= shard.since + settle and steady(clock) >= begun + settle
    looked: tuple[Entry, ...] = (shard_entries.Checked(shard=number),)
    if is_search_over and not shard.is_search_over:
        looked = (shard_entries.CreateNotFound(shard=number), *looked)
    yield looked


def fence(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    """Delete the input file, so that a request which arrives from now on finds none."""
    if shard.file_id is None:
        raise JournalError(f"shard {number} waits for a batch but has no file")
    try:
        context.backend.delete_file(shard.file_id)
    except NotFound:
        pass  # deleted before, by this process or another
    except OutcomeUnknown as error:
        yield context.postponed(number, error)
        return
    yield shard_entries.CreateFenced(shard=number), shard_entries.Checked(shard=number)


def _look_first(context: JobContext, shard: ShardState) -> Iterator[Entries]:
    """Look before a create, unless the look before another one serves.

    It does for a shard for which no batch was ever asked: of ours there is nothing to find, and a
    batch that a runner with a copy of the job directory made is found a second later at most. After
    any create of the shard, whatever came of it, the list is read anew.
    """
    now, moment, memory = context.backend.clock.now(), since(shard), context.memory
    is_recent = 0 <= now - memory.list_read_at < SHARED and memory.list_read_since <= moment
    if shard.sent == 0 and is_recent:
        return
    yield from _look(context, shard)
    memory.list_read_at, memory.list_read_since = now, moment


def _look(context: JobContext, shard: ShardState) -> Iterator[Entries]:
    """Take in what the list shows of ours and the journal lacks, of this shard and of others."""
    yield from new_batches(context.state, listed_since(context.list_batches, since(shard)))
