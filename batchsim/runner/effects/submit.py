"""Upload input files and create batches, one request at a time, each after its intent.

Theory of operation. The create is what is paid for, and no service can be asked to do it only
once. So every input file has a name of its own and serves a single batch; the list is read before
every create (see _read_list_first); and when no answer comes, the outcome is unknown until the
list shows the batch, or has not shown it for as long as it may lag. The policy says what happens
then (see OnUnknown).
"""

from collections.abc import Iterator

from batchsim.clock import steady
from batchsim.domain.batches import Batch
from batchsim.errors import JournalError, NotFound, OutcomeUnknown, Refused, Unavailable
from batchsim.runner.effects.batch_list import SEARCH_PAGES, listed_since
from batchsim.runner.effects.context import Entries, JobContext, reason_of
from batchsim.runner.effects.input_check import without_copies
from batchsim.runner.effects.ownership import earliest_create, new_batches
from batchsim.runner.job import ShardState
from batchsim.runner.job.remote_names import filename_of, metadata_of, request_id_of, upload_id_of
from batchsim.runner.journal import shard_entries
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.policy import misses_file
from batchsim.runner.schedule.budget import cost_bound

SHARED = 1.0
"""Seconds for which one reading of the list serves the first creates of other shards, too."""

SKEW = 86_400
"""Seconds by which the service's clock may differ from ours when the list of files is read."""


def upload(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
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
    name, size = shard.filename, shard.plan.bytes
    for file in listed_since(context.list_files, shard.since - SKEW, most=SEARCH_PAGES):
        if file.filename == name and file.bytes == size:
            yield shard_entries.Uploaded(
                shard=number, file_id=file.id, created_at=file.created_at, adopted=True
            )
            return
    yield shard_entries.UploadDropped(shard=number, reason=f"{name} did not arrive")


def create(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
    if shard.file_id is None:
        raise JournalError(f"shard {number} is uploaded but has no file")
    yield from _read_list_first(context, shard)
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
    """Search for the batch of an unknown create, until both clocks say the list lag is over."""
    yield from _read_list(context, shard)
    if context.state.shards[number].batch is not None:
        return
    clock, lag = context.backend.clock, context.policy.list_lag
    began = context.memory.search_began.setdefault(
        (number, shard.sent, shard.is_fenced), steady(clock)
    )
    is_search_over = clock.now() >= shard.since + lag and steady(clock) >= began + lag
    checked = shard_entries.Checked(shard=number)
    if is_search_over and not shard.is_search_over:
        yield shard_entries.CreateNotFound(shard=number), checked
    else:
        yield checked


def fence(context: JobContext, number: int, shard: ShardState) -> Iterator[Entries]:
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


def _read_list_first(context: JobContext, shard: ShardState) -> Iterator[Entries]:
    """Read the list before a create, unless it was just read.

    The reading for another shard serves the first create of a shard: there is nothing of ours to
    find, and a batch of a runner with a copy of the job directory is found a second later at most.
    For a second create the list is always read anew.
    """
    now, moment, memory = context.backend.clock.now(), earliest_create(shard), context.memory
    is_recent = 0 <= now - memory.list_read_at < SHARED and memory.list_read_since <= moment
    if shard.sent == 0 and is_recent:
        return
    yield from _read_list(context, shard)
    memory.list_read_at, memory.list_read_since = now, moment


def _read_list(context: JobContext, shard: ShardState) -> Iterator[Entries]:
    """Record the job's batches that the list shows and the journal lacks.

    Raises Unavailable when the list could not be read to its end and shows none of the shard.
    """
    found: list[Batch] = []
    fault = None
    try:
        since = earliest_create(shard)
        found.extend(listed_since(context.list_batches, since, most=SEARCH_PAGES))
    except Unavailable as error:
        fault = error
    yield from new_batches(context.state, without_copies(context, found))
    if fault is not None and context.state.shards[shard.plan.shard].batch is None:
        raise fault
