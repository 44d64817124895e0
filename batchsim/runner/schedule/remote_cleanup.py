"""What a job has left at the service, and until when it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batchsim.domain.limits import Limits
from batchsim.runner.job.shard_state import ShardState, Stage
from batchsim.runner.job.state import State
from batchsim.runner.schedule.actions import DeleteRemote


def own_files(shard: ShardState) -> list[str]:
    """The ids of the files at the service that the job made for the shard and has not deleted."""
    ids = list(shard.uploads)
    batch = shard.batch
    if batch is not None and batch.input_file_id in shard.uploads:
        ids += [each for each in (batch.output_file_id, batch.error_file_id) if each is not None]
    return [each for each in dict.fromkeys(ids) if each not in shard.deleted]


def sweep_steps(state: State) -> Iterator[tuple[float, DeleteRemote]]:
    """For a finished job: the shards that have files to delete, and when to ask (unix seconds)."""
    for number, shard in state.shards.items():
        if shard.blocked is None and own_files(shard):
            yield shard.setback.until if shard.setback else 0.0, DeleteRemote(number)


def expiry(shards: Iterable[ShardState], limits: Limits) -> float | None:
    """When the first result file that is not here yet expires (unix seconds); None for none.

    Services keep them for 30 days from when they were made, which is when the batch ended.
    """
    times = [
        shard.batch.expired_at
        or shard.batch.cancelled_at
        or shard.batch.completed_at
        or shard.since
        for shard in shards
        if shard.stage is Stage.ENDED and shard.batch is not None
    ]
    return min(times) + limits.file_lifetime if times else None
