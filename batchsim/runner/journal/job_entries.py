"""Journal entries of the job as a whole: one frozen value per kind.

Entries of one shard are in batchsim.runner.journal.shard_entries.

Most entries are durable: they are written to the journal before anything is done that relies on
them. The few that are not (`durable = False`) are only about this process, such as when it last
polled; they are forgotten when the process ends.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from batchsim.domain.batches import Usage
from batchsim.domain.constraints import Count

if TYPE_CHECKING:
    Ranges = array[int]
else:
    Ranges = array  # Python 3.11 cannot subscript it


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Lines by outcome: each is in exactly one of the first six.

    `invalid` lines were refused before anything was sent. `quarantined` counts result lines that
    answer no open line: doubled, foreign or unreadable. `usage` is summed over the good results.
    """

    ok: Count = 0
    failed: Count = 0
    expired: Count = 0
    cancelled: Count = 0
    missing: Count = 0
    invalid: Count = 0
    quarantined: Count = 0
    usage: Usage = field(default_factory=Usage)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(Tally)
            }
        )

    @property
    def lines(self) -> int:
        unrun = self.expired + self.cancelled + self.missing + self.invalid
        return self.ok + self.failed + unrun


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    durable: ClassVar[bool] = True


class ShardEntry(Entry, frozen=True, kw_only=True):
    """Something that happened to one shard. Shards are numbered from 1."""

    shard: Count


class Started(Entry, frozen=True, kw_only=True):
    """The job begins. `run` is 128 random bits in hex, made once: the job's name at the service."""

    run: str
    job: str = ""
    """A hash of the run, of where it runs and of what it sends; file names begin with it."""
    service: str
    """The service that runs the job, as the backend names it."""
    account: str = ""
    """The account there, as the backend tells accounts apart."""
    lines: Count
    bytes: Count
    """The size of the input."""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The user's own; ours are added to it."""


class AccountChanged(Entry, frozen=True, kw_only=True):
    """The user confirmed that another key belongs to the same account."""

    account: str


class Skipped(Entry, frozen=True, kw_only=True):
    """Invalid lines of the input are left out; `ranges` as in Planned, without bytes."""

    lines: Count
    ranges: Ranges


class RoundPlanned(Entry, frozen=True, kw_only=True):
    """Lines are sent again, in the shards planned with this entry. `round` counts from 1."""

    round: Count


class CancelRequested(Entry, frozen=True, kw_only=True):
    """The user cancels the job: nothing more is sent, results so far are kept."""


class FinishBegun(Entry, frozen=True, kw_only=True):
    """The deadline nears: no more batches; the remaining lines are sent without one."""


class Finished(Entry, frozen=True, kw_only=True):
    """The results file is complete and on the disk.

    `tally` counts every line of the input once, by its last outcome; `quarantined` and `usage` are
    over all rounds. `late` are good results for lines that already had one.
    """

    bytes: Count
    tally: Tally
    late: Count = 0

    def is_whole(self, path: Path) -> bool:
        """True when the results file is there and has its size."""
        return path.is_file() and path.stat().st_size == self.bytes


class Audited(Entry, frozen=True, kw_only=True):
    """The list, with `batches` of this job, was compared with the journal; it lacked `strays`."""

    batches: Count
    strays: tuple[str, ...] = ()


class Elected(Entry, frozen=True, kw_only=True, rename={"site": "place"}):
    """The runner at this site may create batches; `file_id` is its claim, "" if it is alone."""

    site: str
    file_id: str = ""


class StoodBack(Entry, frozen=True, kw_only=True):
    """Another runner may create batches, and this process may not."""

    durable: ClassVar[bool] = False
    reason: str


class Reconciled(Entry, frozen=True, kw_only=True):
    """The process has read the lists, and the journal has all that they show of the job."""

    durable: ClassVar[bool] = False


class Surveyed(Entry, frozen=True, kw_only=True):
    """A page of the list was read; the next one begins after `cursor` (None: there is none)."""

    durable: ClassVar[bool] = False
    cursor: str | None = None
    foreign_lines: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The lines of the unfinished batches on the page that are not this job's, by model."""


class Delayed(Entry, frozen=True, kw_only=True):
    """A request for the job as a whole failed in a passing way; it is repeated at `until`."""

    durable: ClassVar[bool] = False
    until: float
    reason: str


class Halted(Entry, frozen=True, kw_only=True):
    """A request for the job as a whole was refused: this process leaves the job."""

    durable: ClassVar[bool] = False
    reason: str
