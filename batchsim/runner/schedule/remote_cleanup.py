"""The files that a job has left at the service, and when they expire."""

from collections.abc import Iterable, Iterator

from batchsim.domain.limits import Limits
from batchsim.runner.job import JobState, ShardState, Stage
from batchsim.runner.schedule.actions import DeleteRemote


def own_files(shard: ShardState) -> list[str]:
    """Return the ids of the shard's files that the job made at the service and not deleted."""
    ids = list(shard.uploads)
    batch = shard.batch
    if batch is not None and batch.input_file_id in shard.uploads:
        ids += [each for each in (batch.output_file_id, batch.error_file_id) if each is not None]
    return [each for each in dict.fromkeys(ids) if each not in (*shard.deleted, *shard.kept)]


def sweep_steps(state: JobState) -> Iterator[tuple[float, DeleteRemote]]:
    """Yield, for a finished job, the shards with files to delete, and when (unix seconds)."""
    for number, shard in state.shards.items():
        if shard.blocked is None and own_files(shard):
            yield shard.setback.until if shard.setback else 0.0, DeleteRemote(number)


def expiry(shards: Iterable[ShardState], limits: Limits) -> float | None:
    """Return when the first result file to download expires (unix seconds): after 30 days."""
    times = [
        shard.batch.expired_at
        or shard.batch.cancelled_at
        or shard.batch.completed_at
        or shard.since
        for shard in shards
        if shard.stage is Stage.ENDED and shard.batch is not None
    ]
    return min(times) + limits.file_lifetime if times else None
