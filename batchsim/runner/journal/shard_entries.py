"""What a job's journal can say of one shard: its plan, its sending, its batch and its results.

For entries in general see batchsim.runner.journal.job_entries.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, NamedTuple

from batchsim.domain.batches import Batch
from batchsim.runner.journal.anomalies import Difference
from batchsim.runner.journal.job_entries import ShardEntry, Tally

RANGE = 4
"""How many numbers describe one run of neighbouring lines in `Planned.ranges`."""


class Run(NamedTuple):
    """Neighbouring lines of one shard: the index of the first, how many, and their bytes in the input."""

    first: int
    lines: int
    begin: int
    end: int


def runs(ranges: array[int]) -> Iterator[Run]:
    """The runs that `Planned.ranges` describes, in input order."""
    for at in range(0, len(ranges), RANGE):
        yield Run(*ranges[at : at + RANGE])


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


class Planned(ShardEntry, frozen=True, kw_only=True):
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


class Weighed(ShardEntry, frozen=True, kw_only=True):
    """What the shard's lines ask for.

    `tokens` of prompt by estimate, and at most `most_prompt` of them and `most_output` of output;
    None where nothing bounds them.
    """

    tokens: int
    most_prompt: int | None
    most_output: int | None


class Divided(ShardEntry, frozen=True, kw_only=True):
    """The shard was too large for its model's queue; its lines are in shards planned with this."""


class Settled(ShardEntry, frozen=True, kw_only=True):
    """What the shard's batch has cost, in US dollars, by its usage."""

    usd: Decimal


class UploadIntended(ShardEntry, frozen=True, kw_only=True):
    """The input file is about to be sent under a name that was never used before.

    `request_id` is the name of the request.
    """

    attempt: int
    filename: str
    request_id: str = ""


class Uploaded(ShardEntry, frozen=True, kw_only=True):
    """The input file is there; `adopted` when it was found and no answer had come.

    `created_at` is the service's own time of it (unix seconds, 0 when it did not say): no batch
    over the file can be older.
    """

    file_id: str
    created_at: int = 0
    adopted: bool = False


class UploadDropped(ShardEntry, frozen=True, kw_only=True):
    """The intended upload has no file, or none that will be used: the next has another name."""

    reason: str


class CreateIntended(ShardEntry, frozen=True, kw_only=True):
    """A batch is about to be asked for. Until its outcome is recorded one may exist.

    `request_id` is the name under which the request is sent.
    """

    file_id: str
    request_id: str = ""
    reserved: Decimal | None = None
    """The most that the batch can cost, in US dollars; None when that is not known."""


class CreateUnknown(ShardEntry, frozen=True, kw_only=True):
    """The request was sent, or may have been, and no answer came: a batch may exist."""

    reason: str


class CreateFenced(ShardEntry, frozen=True, kw_only=True):
    """The input file was deleted while the outcome was unknown: a late request finds no file."""


class CreateSettled(ShardEntry, frozen=True, kw_only=True):
    """No batch of unknown outcome was in the list for as long as one may take to appear there."""


class CreateLeft(ShardEntry, frozen=True, kw_only=True):
    """The outcome stays unknown: a batch may exist, and the lines are not asked for again."""


class CreateRefused(ShardEntry, frozen=True, kw_only=True):
    """No batch was made: the service said so, or the request never left."""

    reason: str


class CreateAbandoned(ShardEntry, frozen=True, kw_only=True):
    """A batch of unknown outcome was not found and, as the policy allows, is given up."""


class Created(ShardEntry, frozen=True, kw_only=True):
    """The batch exists; `adopted` when it was found and no answer had come."""

    batch: Batch
    adopted: bool = False


class TwinSeen(ShardEntry, frozen=True, kw_only=True):
    """The shard has this batch besides its own: new, or in another status than before."""

    batch: Batch


class Observed(ShardEntry, frozen=True, kw_only=True):
    """The batch has another status or other files than before."""

    batch: Batch


class BatchGivenUp(ShardEntry, frozen=True, kw_only=True):
    """The batch failed for a passing reason; the shard gets another one."""

    reason: str


class Downloaded(ShardEntry, frozen=True, kw_only=True):
    """A result file lies whole in the job directory."""

    source: Source
    file_id: str
    bytes: int
    sha256: str


class DownloadDropped(ShardEntry, frozen=True, kw_only=True):
    """The result file in the job directory is not what it should be; it is fetched again."""

    source: Source
    reason: str


class FileGone(ShardEntry, frozen=True, kw_only=True):
    """The service has the batch but no longer the result file."""

    source: Source
    file_id: str
    reason: str


class Collected(ShardEntry, frozen=True, kw_only=True):
    """Every line of the shard has its place. `again` of them are worth another try."""

    tally: Tally
    again: int = 0
    differences: tuple[Difference, ...] = ()


class CancelAsked(ShardEntry, frozen=True, kw_only=True):
    """The service was asked to cancel the batch, and answered with it."""

    batch: Batch


class AnswerIntended(ShardEntry, frozen=True, kw_only=True):
    """The line at that position of the shard is about to be asked for, without a batch."""

    position: int
    reserved: Decimal | None
    """The most that the answer can cost, in US dollars; None when that is not known."""


class AnswerSettled(ShardEntry, frozen=True, kw_only=True):
    """What the answer to the line has cost, in US dollars.

    `again` when it was no answer to keep: the line may be asked for once more.
    """

    position: int
    usd: Decimal
    again: bool = False


class RemoteDeleted(ShardEntry, frozen=True, kw_only=True):
    """A file of the shard is no longer at the service."""

    file_id: str


class Looked(ShardEntry, frozen=True, kw_only=True):
    """We looked and nothing durable is new; `batch` holds the counts, if it is one that we saw."""

    durable: ClassVar[bool] = False
    batch: Batch | None = None


class Noticed(ShardEntry, frozen=True, kw_only=True):
    """Word came from outside that something happened to the batch: look at once."""

    durable: ClassVar[bool] = False


class Postponed(ShardEntry, frozen=True, kw_only=True):
    """A request failed in a passing way. Try again `until` then (unix seconds), not before."""

    durable: ClassVar[bool] = False
    until: float
    reason: str


class Blocked(ShardEntry, frozen=True, kw_only=True):
    """A request was refused in a way that waiting does not mend: this process leaves the shard."""

    durable: ClassVar[bool] = False
    reason: str
