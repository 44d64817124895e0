"""What a job's journal can say of one shard: its plan, its sending, its batch and its results.

For entries in general see batchsim.runner.entries.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from batchsim.domain.batches import Batch
from batchsim.runner.differences import Difference
from batchsim.runner.entries import ShardEntry, Tally


class Source(StrEnum):
    """Where a line of the results comes from; the order is that in which they are read."""

    OUTPUT = "output"
    ERROR = "error"
    RECORDS = "records"
    """Ours: what is written for lines of which the service says nothing."""


class Origin(StrEnum):
    """Who made the first batch of a shard, and what is known of its lines."""

    OURS = "ours"
    ADOPTED = "adopted"
    """Others made it, and its input file held the shard's lines, to the byte."""
    REORDERED = "reordered"
    """Others made it, and its input file held these lines in another order or spelling."""
    SYNCHRONOUS = "synchronous"
    """It gets no batch: its lines are asked for one by one, at the ordinary price."""
    UNKNOWN = "unknown"
    """Others made it, and of its lines only the custom_ids are known: they cannot be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(ShardEntry):
    """Which lines of the input go into one batch together.

    `ranges` is flat, four numbers per run of neighbouring lines: the index of its first line
    (from 0), how many lines it has, the offset of its first byte, the offset after its last. A
    final newline that the input lacks is counted as if it were there. `fingerprint` is the SHA-256
    of the bytes as sent. `round` counts from 0; a later one holds lines of earlier ones again.
    """

    endpoint: str
    model: str | None
    lines: int
    bytes: int
    tokens: int
    """Estimated prompt tokens; 0 where no limit on them is known."""
    fingerprint: str
    ranges: array[int]
    round: int = 0
    origin: Origin = Origin.OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed(ShardEntry):
    """What the shard's lines ask for.

    `tokens` of prompt by estimate, and at most `most_prompt` of them and `most_output` of output;
    None where nothing bounds them.
    """

    tokens: int
    most_prompt: int | None
    most_output: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided(ShardEntry):
    """The shard was too large for its model's queue; its lines are in shards planned with this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(ShardEntry):
    """What the shard's batch has cost, in US dollars, by its usage."""

    usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadIntended(ShardEntry):
    """The input file is about to be sent under a name that was never used before.

    `request_id` is the name of the request.
    """

    attempt: int
    filename: str
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded(ShardEntry):
    """The input file is there; `adopted` when it was found and no answer had come.

    `created_at` is the service's own time of it (unix seconds, 0 when it did not say): no batch
    over the file can be older.
    """

    file_id: str
    created_at: int = 0
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDropped(ShardEntry):
    """The intended upload has no file, or none that will be used: the next has another name."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIntended(ShardEntry):
    """A batch is about to be asked for. Until its outcome is recorded one may exist.

    `request_id` is the name under which the request is sent.
    """

    file_id: str
    request_id: str = ""
    reserved: Decimal | None = None
    """The most that the batch can cost, in US dollars; None when that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUnknown(ShardEntry):
    """The request was sent, or may have been, and no answer came: a batch may exist."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFenced(ShardEntry):
    """The input file was deleted while the outcome was unknown: a late request finds no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSettled(ShardEntry):
    """No batch of unknown outcome was in the list for as long as one may take to appear there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLeft(ShardEntry):
    """The outcome stays unknown: a batch may exist, and the lines are not asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRefused(ShardEntry):
    """No batch was made: the service said so, or the request never left."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAbandoned(ShardEntry):
    """A batch of unknown outcome was not found and, as the policy allows, is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(ShardEntry):
    """The batch exists; `adopted` when it was found and no answer had come."""

    batch: Batch
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinSeen(ShardEntry):
    """The shard has this batch besides its own: new, or in another status than before."""

    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed(ShardEntry):
    """The batch has another status or other files than before."""

    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGivenUp(ShardEntry):
    """The batch failed for a passing reason; the shard gets another one."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded(ShardEntry):
    """A result file lies whole in the job directory."""

    source: Source
    file_id: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadDropped(ShardEntry):
    """The result file in the job directory is not what it should be; it is fetched again."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGone(ShardEntry):
    """The service has the batch but no longer the result file."""

    source: Source
    file_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected(ShardEntry):
    """Every line of the shard has its place. `again` of them are worth another try."""

    tally: Tally
    again: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked(ShardEntry):
    """The service was asked to cancel the batch, and answered with it."""

    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerIntended(ShardEntry):
    """The line at that position of the shard is about to be asked for, without a batch."""

    position: int
    reserved: Decimal | None
    """The most that the answer can cost, in US dollars; None when that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettled(ShardEntry):
    """What the answer to the line has cost, in US dollars.

    `again` when it was no answer to keep: the line may be asked for once more.
    """

    position: int
    usd: Decimal
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteDeleted(ShardEntry):
    """A file of the shard is no longer at the service."""

    file_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked(ShardEntry):
    """We looked and nothing durable is new; `batch` holds the counts, if it is one that we saw."""

    durable: ClassVar[bool] = False
    batch: Batch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed(ShardEntry):
    """Word came from outside that something happened to the batch: look at once."""

    durable: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(ShardEntry):
    """A request failed in a passing way. Try again `until` then (unix seconds), not before."""

    durable: ClassVar[bool] = False
    until: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(ShardEntry):
    """A request was refused in a way that waiting does not mend: this process leaves the shard."""

    durable: ClassVar[bool] = False
    reason: str
