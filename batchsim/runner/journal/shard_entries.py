"""Journal entries of one shard: its plan, its upload, its batch and its results.

For entries in general see batchsim.runner.journal.job_entries.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, NamedTuple

from batchsim.domain.batches import Batch
from batchsim.domain.constraints import Count
from batchsim.runner.journal.anomalies import Anomaly
from batchsim.runner.journal.job_entries import Ranges, ShardEntry, Tally

RANGE = 4
"""How many numbers describe one run of neighbouring lines in `Planned.ranges`."""


class Run(NamedTuple):
    """Neighbouring lines of one shard: index of the first, number, and their bytes in the input."""

    first: int
    lines: int
    begin: int
    end: int


def runs(ranges: Ranges) -> Iterator[Run]:
    """Yield the runs that `Planned.ranges` describes, in input order."""
    for at in range(0, len(ranges), RANGE):
        yield Run(*ranges[at : at + RANGE])


class Source(StrEnum):
    """The file that a line of the results comes from, in the order in which they are read."""

    OUTPUT = "output"
    ERROR = "error"
    RECORDS = "records"
    """Placeholders, which batchsim writes itself."""


class Origin(StrEnum):
    """Who made the first batch of a shard, and what is known of its lines."""

    OURS = "ours"
    ADOPTED = "adopted"
    """Made by another tool; its input file held the shard's lines, byte for byte."""
    REORDERED = "reordered"
    """Made by another tool; its input file held these lines in another order or spelling."""
    SYNCHRONOUS = "synchronous"
    """No batch: the lines are sent one by one, at the ordinary price."""
    UNKNOWN = "unknown"
    """Made by another tool; only the custom_ids are known, so the lines cannot be sent again."""


class Planned(ShardEntry, frozen=True, kw_only=True):
    """The lines of the input that go into one batch together.

    `ranges` is flat, four numbers per run of neighbouring lines: the index of its first line
    (from 0), how many lines it has, the offset of its first byte, the offset after its last. A
    final newline that the input lacks is counted as if it were there. `fingerprint` is the SHA-256
    of the bytes as sent. `round` counts from 0; a later one holds lines of earlier ones again.
    """

    endpoint: str
    model: str | None
    lines: Count
    bytes: Count
    tokens: Count
    """Estimated prompt tokens; 0 where no limit on them is known."""
    fingerprint: str
    ranges: Ranges
    round: Count = 0
    origin: Origin = Origin.OURS


class Weighed(ShardEntry, frozen=True, kw_only=True):
    """The estimated tokens of the shard's prompts, and bounds on prompt and output, if any."""

    tokens: Count
    most_prompt: Count | None
    most_output: Count | None


class Divided(ShardEntry, frozen=True, kw_only=True):
    """The shard was too large for its model's queue; the shards planned with this replace it."""


class CostRecorded(ShardEntry, frozen=True, kw_only=True):
    """The real cost of the shard's batch in US dollars, by its usage."""

    usd: Decimal


class UploadIntended(ShardEntry, frozen=True, kw_only=True):
    """The input file is about to be sent, under a name that was never used before."""

    attempt: Count
    filename: str
    request_id: str = ""


class Uploaded(ShardEntry, frozen=True, kw_only=True):
    """The input file exists; `adopted` when no answer had come and the list showed it.

    `created_at` is the service's own time of it (unix seconds; 0: not told). No batch over the
    file can be older.
    """

    file_id: str
    created_at: int = 0
    adopted: bool = False


class UploadDropped(ShardEntry, frozen=True, kw_only=True):
    """The intended upload has no file, or none that will be used; the next gets another name."""

    reason: str


class CreateIntended(ShardEntry, frozen=True, kw_only=True):
    """The request for a batch is about to be sent. Until its outcome is recorded one may exist."""

    file_id: str
    request_id: str = ""
    reserved: Decimal | None = None
    """The most that the batch can cost, in US dollars; None when that is not known."""


class CreateUnknown(ShardEntry, frozen=True, kw_only=True):
    """The request for a batch may have been sent, and no answer came: a batch may exist."""

    reason: str


class CreateFenced(ShardEntry, frozen=True, kw_only=True):
    """The input file of an unknown create was deleted: a late request finds no file."""


class CreateNotFound(ShardEntry, frozen=True, kw_only=True):
    """The list did not show the batch of an unknown create for as long as the list may lag."""


class CreateLeft(ShardEntry, frozen=True, kw_only=True):
    """The outcome of a create stays unknown: a batch may exist; the lines are not sent again."""


class CreateRefused(ShardEntry, frozen=True, kw_only=True):
    """No batch was made: the service refused, or the request never left."""

    reason: str


class CreateAbandoned(ShardEntry, frozen=True, kw_only=True):
    """An unknown create was not found, and the policy allows another one."""


class Created(ShardEntry, frozen=True, kw_only=True):
    """The batch exists; `adopted` when no answer had come and the list showed it."""

    batch: Batch
    adopted: bool = False


class TwinSeen(ShardEntry, frozen=True, kw_only=True):
    """The shard has this second batch: new, or in another status than before."""

    batch: Batch


class Observed(ShardEntry, frozen=True, kw_only=True):
    """The batch has another status or other files than before."""

    batch: Batch


class BatchGivenUp(ShardEntry, frozen=True, kw_only=True):
    """The batch failed for a passing reason; the shard gets another one."""

    reason: str


class Downloaded(ShardEntry, frozen=True, kw_only=True):
    """A result file is complete in the job directory."""

    source: Source
    file_id: str
    bytes: Count
    sha256: str


class DownloadDropped(ShardEntry, frozen=True, kw_only=True):
    """The result file in the job directory was changed; it is downloaded again."""

    source: Source
    reason: str


class FileGone(ShardEntry, frozen=True, kw_only=True):
    """The service has the batch but no longer the result file."""

    source: Source
    file_id: str
    reason: str


class Collected(ShardEntry, frozen=True, kw_only=True, rename={"retriable": "again"}):
    """Every line of the shard has a result. `retriable` of them are worth another try."""

    tally: Tally
    retriable: Count = 0
    differences: tuple[Anomaly, ...] = ()


class BatchCancelRequested(ShardEntry, frozen=True, kw_only=True):
    """The service took the request to cancel the batch, and answered with it."""

    batch: Batch


class AnswerIntended(ShardEntry, frozen=True, kw_only=True):
    """The line at `position` of the shard is about to be sent without a batch."""

    position: Count
    reserved: Decimal | None
    """The most that the answer can cost, in US dollars; None when that is not known."""


class AnswerRecorded(ShardEntry, frozen=True, kw_only=True, rename={"is_repeated": "again"}):
    """The answer at `position` cost `usd` dollars; `is_repeated` after a passing error."""

    position: Count
    usd: Decimal
    is_repeated: bool = False


class RemoteDeleted(ShardEntry, frozen=True, kw_only=True):
    """A file of the shard is no longer at the service."""

    file_id: str


class RemoteKept(ShardEntry, frozen=True, kw_only=True):
    """A file that the shard's batch names is not the job's, and is left at the service."""

    durable: ClassVar[bool] = False
    file_id: str


class Checked(ShardEntry, frozen=True, kw_only=True):
    """The service was asked and nothing durable is new; `batch` holds the latest counts, if any."""

    durable: ClassVar[bool] = False
    batch: Batch | None = None


class Noticed(ShardEntry, frozen=True, kw_only=True):
    """A notice came from outside that the batch has changed: poll it at once."""

    durable: ClassVar[bool] = False


class Postponed(ShardEntry, frozen=True, kw_only=True):
    """A request failed in a passing way; it is repeated at `until` (unix seconds)."""

    durable: ClassVar[bool] = False
    until: float
    reason: str


class Blocked(ShardEntry, frozen=True, kw_only=True):
    """A request was refused, and waiting does not help: this process leaves the shard."""

    durable: ClassVar[bool] = False
    reason: str
