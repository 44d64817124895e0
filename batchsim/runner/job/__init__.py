"""A job: its directory, its names at the service, and its state.

Journal entries go in; `fold` makes the JobState of them, with a ShardState for each shard. The
Session is what only this process knows. Nothing here decides or speaks to a service.
"""

from batchsim.runner.job.counts import Counts, lines_done
from batchsim.runner.job.directory import JobDirectory, RequestLike
from batchsim.runner.job.session import Session
from batchsim.runner.job.shard_state import Setback, ShardState, Stage
from batchsim.runner.job.state import JobState, fold

__all__ = [
    "Counts", "JobDirectory", "JobState", "RequestLike", "Session", "Setback", "ShardState",
    "Stage", "fold", "lines_done"
]  # fmt: skip
