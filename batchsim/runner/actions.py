"""What can be done next: one frozen value per kind of action. Nothing is done here."""

from __future__ import annotations

from dataclasses import dataclass

from batchsim.runner.shard_entries import Source


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done."""


@dataclass(frozen=True, slots=True)
class ShardAction(Action):
    """Something to be done for one shard, named by its number."""

    shard: int


class Weigh(ShardAction):
    """Count what the shard's lines ask for."""


@dataclass(frozen=True, slots=True)
class Divide(ShardAction):
    """Make shards of at most so many tokens of one that is too large for its model's queue."""

    tokens: int


class Upload(ShardAction):
    """Send the shard's lines as a file that was never sent before."""


class FindUpload(ShardAction):
    """Look in the list of files whether the intended upload took effect."""


class Create(ShardAction):
    """Ask for a batch over the uploaded file, unless the list already shows one."""


class FindBatch(ShardAction):
    """Look in the list of batches for one of the shard's."""


class FenceCreate(ShardAction):
    """Delete the input file of a create of unknown outcome."""


class AbandonCreate(ShardAction):
    """Take the create of unknown outcome as lost, and start over with another file."""


class Elect(Action):
    """See in the list of files whether another runner of the job uploaded before this one."""


class LeaveCreate(ShardAction):
    """Leave a create of unknown outcome at that: its lines are not asked for again."""


class Reconcile(Action):
    """See that the lists may be read, and take over what they show of ours."""


@dataclass(frozen=True, slots=True)
class Survey(Action):
    """Read the page of the list of batches after that id (None: the first)."""

    after: str | None


class Audit(Action):
    """Compare the batches of the job in the list with those in the journal."""


class Poll(ShardAction):
    """Look at the batch."""


@dataclass(frozen=True, slots=True)
class CancelTwin(ShardAction):
    """Ask for a batch to be cancelled that the shard has besides its own."""

    batch_id: str


class CancelBatch(ShardAction):
    """Ask for the shard's own batch to be cancelled."""


class GiveUpBatch(ShardAction):
    """Leave a batch that failed in passing, and start over with another file."""


@dataclass(frozen=True, slots=True)
class Download(ShardAction):
    """Fetch a result file."""

    source: Source
    file_id: str


class Collect(ShardAction):
    """Give every line of the shard its place in the results."""


class DeleteRemote(ShardAction):
    """Delete the shard's files at the service; its results are here."""


class BeginFinish(Action):
    """Stop sending in batches: the deadline nears."""


class AnswerLines(ShardAction):
    """Ask for the shard's lines one by one, without a batch."""


class PlanRound(Action):
    """Plan which lines are sent again."""


class Assemble(Action):
    """Write the results of all shards in input order."""


@dataclass(frozen=True, slots=True)
class Wait(Action):
    """Nothing is due before `until` (unix seconds)."""

    until: float


@dataclass(frozen=True, slots=True)
class Stop(Action):
    """Nothing can be done any more in this process, for `reasons`, each about one shard."""

    reasons: tuple[str, ...]
    is_short: bool = False
    """Whether the cap on cost is what some shards lack."""


class Done(Action):
    """The results are written."""
