"""What can be done next: one frozen value per kind of action. Nothing is done here."""

from __future__ import annotations

from msgspec import Struct

from batchsim.runner.journal.shard_entries import Source


class Action(Struct, frozen=True):
    """Something to be done."""


class ShardAction(Action, frozen=True):
    """Something to be done for one shard, named by its number."""

    shard: int


class Weigh(ShardAction, frozen=True):
    """Count what the shard's lines ask for."""


class Divide(ShardAction, frozen=True):
    """Make shards of at most so many tokens of one that is too large for its model's queue."""

    tokens: int


class Upload(ShardAction, frozen=True):
    """Send the shard's lines as a file that was never sent before."""


class FindUpload(ShardAction, frozen=True):
    """Look in the list of files whether the intended upload took effect."""


class Create(ShardAction, frozen=True):
    """Ask for a batch over the uploaded file, unless the list already shows one."""


class FindBatch(ShardAction, frozen=True):
    """Look in the list of batches for one of the shard's."""


class FenceCreate(ShardAction, frozen=True):
    """Delete the input file of a create of unknown outcome."""


class AbandonCreate(ShardAction, frozen=True):
    """Take the create of unknown outcome as lost, and start over with another file."""


class Elect(Action, frozen=True):
    """See in the list of files whether another runner of the job uploaded before this one."""


class LeaveCreate(ShardAction, frozen=True):
    """Leave a create of unknown outcome at that: its lines are not asked for again."""


class Reconcile(Action, frozen=True):
    """See that the lists may be read, and take over what they show of ours."""


class Survey(Action, frozen=True):
    """Read the page of the list of batches after that id (None: the first)."""

    after: str | None


class Audit(Action, frozen=True):
    """Compare the batches of the job in the list with those in the journal."""


class Poll(ShardAction, frozen=True):
    """Look at the batch."""


class CancelTwin(ShardAction, frozen=True):
    """Ask for a batch to be cancelled that the shard has besides its own."""

    batch_id: str


class CancelBatch(ShardAction, frozen=True):
    """Ask for the shard's own batch to be cancelled."""


class GiveUpBatch(ShardAction, frozen=True):
    """Leave a batch that failed in passing, and start over with another file."""


class Download(ShardAction, frozen=True):
    """Fetch a result file."""

    source: Source
    file_id: str


class Collect(ShardAction, frozen=True):
    """Give every line of the shard its place in the results."""


class DeleteRemote(ShardAction, frozen=True):
    """Delete the shard's files at the service; its results are here."""


class BeginFinish(Action, frozen=True):
    """Stop sending in batches: the deadline nears."""


class AnswerLines(ShardAction, frozen=True):
    """Ask for the shard's lines one by one, without a batch."""


class PlanRound(Action, frozen=True):
    """Plan which lines are sent again."""


class Assemble(Action, frozen=True):
    """Write the results of all shards in input order."""


class Wait(Action, frozen=True):
    """Nothing is due before `until` (unix seconds)."""

    until: float


class Stop(Action, frozen=True):
    """Nothing can be done any more in this process, for `reasons`, each about one shard."""

    reasons: tuple[str, ...]
    is_short: bool = False
    """Whether the cap on cost is what some shards lack."""


class Done(Action, frozen=True):
    """The results are written."""
