"""Actions: what a job can do next, one frozen value per kind."""

from msgspec import Struct

from batchsim.runner.journal.shard_entries import Source


class Action(Struct, frozen=True):
    """One thing to do."""


class ShardAction(Action, frozen=True):
    shard: int


class Weigh(ShardAction, frozen=True):
    """Estimate and bound the tokens of the shard's lines."""


class Divide(ShardAction, frozen=True):
    """Divide a shard that is too large for its queue into shards of at most `tokens`."""

    tokens: int


class Upload(ShardAction, frozen=True):
    """Upload the shard's lines under a new name."""


class FindUpload(ShardAction, frozen=True):
    """Search the list of files for an upload of unknown outcome."""


class Create(ShardAction, frozen=True):
    """Create a batch over the uploaded file, unless the list already shows one."""


class FindBatch(ShardAction, frozen=True):
    """Search the list of batches for the batch of an unknown create."""


class FenceCreate(ShardAction, frozen=True):
    """Delete the input file of an unknown create."""


class AbandonCreate(ShardAction, frozen=True):
    """Give an unknown create up, and start over with another file."""


class Elect(Action, frozen=True):
    """Search the list of files for an earlier upload of another runner of the job."""


class LeaveCreate(ShardAction, frozen=True):
    """Leave an unknown create as it is: its lines are not sent again."""


class Reconcile(Action, frozen=True):
    """Read the lists, and record batches of the job that the journal lacks."""


class Survey(Action, frozen=True):
    """Read the page of the list of batches after the batch `after` (None: the first page)."""

    after: str | None


class Audit(Action, frozen=True):
    """Compare the batches of the job in the list with those in the journal."""


class Poll(ShardAction, frozen=True):
    """Read the status of the batch."""


class CancelTwin(ShardAction, frozen=True):
    """Cancel a second batch of the shard."""

    batch_id: str


class CancelBatch(ShardAction, frozen=True):
    """Cancel the shard's own batch."""


class GiveUpBatch(ShardAction, frozen=True):
    """Give up a batch that failed for a passing reason, and start over with another file."""


class Download(ShardAction, frozen=True):
    source: Source
    file_id: str


class Collect(ShardAction, frozen=True):
    """Match the shard's results with its lines."""


class DeleteRemote(ShardAction, frozen=True):
    """Delete the shard's files at the service."""


class BeginFinish(Action, frozen=True):
    """Stop creating batches: the deadline nears."""


class AnswerLines(ShardAction, frozen=True):
    """Send the shard's lines one by one, without a batch."""


class PlanRound(Action, frozen=True):
    """Plan the shards of the next retry round."""


class Assemble(Action, frozen=True):
    """Write the results of all shards in input order."""


class Wait(Action, frozen=True):
    """Wait: nothing is due before `until` (unix seconds)."""

    until: float


class Stop(Action, frozen=True):
    """Stop: nothing more can be done in this process, for `reasons`."""

    reasons: tuple[str, ...]
    is_short: bool = False
    """True if some shards do not fit under the cap on cost."""


class Done(Action, frozen=True):
    """The results are written."""
