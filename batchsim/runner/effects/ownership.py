"""Find the listed batches that are the job's, and choose the one that belongs to each shard.

Theory of operation. A batch is the job's by its input file, which was uploaded for it alone, or by
its metadata. A shard needs one batch. Where the list shows one that the journal lacks, an answer
or a journal was lost, or a request arrived twice. The shard's batch is then the oldest that can
still give results, by `created_at` and then by id, so that every runner that sees the same list
chooses the same. The others are twins, and are cancelled. A batch that ended without running a
line costs nothing and yields to any other.

Nothing is requested here: a list goes in, entries come out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from batchsim.domain.batches import Batch
from batchsim.domain.limits import DAY, HOUR
from batchsim.runner.job import JobState, ShardState, Stage
from batchsim.runner.job.remote_names import is_of_run, shard_of
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import Created, TwinSeen
from batchsim.runner.policy import is_void

MARGIN = 60
"""Seconds by which a service's own times may differ from each other."""

_UNMADE = frozenset({Stage.WAITING, Stage.UPLOADING, Stage.UPLOADED, Stage.UNKNOWN})


def owner(state: JobState, batch: Batch) -> int | None:
    """Return the shard of the batch; None when it is not ours, by its run or its endpoint."""
    started = state.started
    if started is None:
        return None
    names_run = "bs_run" in (batch.metadata or {})
    if names_run and not is_of_run(batch, started):
        return None
    number = state.file_shards.get(batch.input_file_id) or (
        shard_of(batch.metadata) if names_run else None
    )
    shard = state.shards.get(number or 0)
    if shard is None or batch.endpoint not in ("", shard.plan.endpoint):
        return None
    return number


def new_batches(state: JobState, listed: Iterable[Batch]) -> Iterator[tuple[Entry, ...]]:
    """Yield the entries for listed batches that the journal lacks, shard by shard."""
    found: dict[int, list[Batch]] = defaultdict(list)
    for batch in listed:
        if batch.id not in state.batch_shards:
            number = owner(state, batch)
            if number is not None:
                found[number].append(batch)
    for number, batches in sorted(found.items()):
        yield tuple(_assign(state.shards[number], sorted(batches, key=_age)))


def earliest_time(state: JobState) -> float:
    """Return the time (unix seconds) before which the service can have nothing of the job.

    It follows the service's own times where there are any; ours may be wrong by hours.
    """
    ours = [state.started_at - DAY]
    theirs = [shard.file_created for shard in state.shards.values() if shard.file_created]
    theirs += [shard.batch.created_at for shard in state.shards.values() if shard.batch]
    return min(ours + [time - HOUR for time in theirs if time])


def earliest_create(shard: ShardState) -> float:
    """Return the time (unix seconds) before which no batch over the shard's file can exist."""
    return shard.file_created - MARGIN if shard.file_created else shard.since - DAY


def _assign(shard: ShardState, batches: list[Batch]) -> Iterator[Entry]:
    number, own = shard.plan.shard, shard.batch
    best = next((batch for batch in batches if not is_void(batch)), batches[0])
    if own is None and shard.stage in _UNMADE:
        yield Created(shard=number, batch=best, adopted=True)
    elif own is not None and shard.stage is Stage.LIVE and _age(best) < _age(own):
        if is_void(best):
            yield TwinSeen(shard=number, batch=best)
        else:
            yield Created(shard=number, batch=best, adopted=True)
            yield TwinSeen(shard=number, batch=own)
    else:
        yield TwinSeen(shard=number, batch=best)
    for batch in batches:
        if batch is not best:
            yield TwinSeen(shard=number, batch=batch)


def _age(batch: Batch) -> tuple[int, str]:
    return batch.created_at, batch.id
