"""What a job's journal can say: one frozen value per kind of entry.

Here are those of the job as a whole; those of one shard are in batchsim.runner.journal.shard_entries.

Most entries are durable: written to the journal before anything is done on the strength of them.
The few that are not (`durable = False`) describe this process's patience only, such as when it
last looked; they are folded into the state like the others and forgotten when the process ends, so
that the next one looks at once.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

import msgspec

from batchsim.domain.batches import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of lines: each is in exactly one of the first six.

    `invalid` lines were refused before anything was sent. `quarantined` counts result lines that answer no open line: doubled, foreign or unreadable.
    `usage` is summed over the bodies of the lines that ran well.
    """

    ok: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    missing: int = 0
    invalid: int = 0
    quarantined: int = 0
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
        """How many lines were counted."""
        unrun = self.expired + self.cancelled + self.missing + self.invalid
        return self.ok + self.failed + unrun


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the job."""

    durable: ClassVar[bool] = True


class Started(Entry, frozen=True, kw_only=True):
    """The job begins. `run` is 128 random bits in hex, minted once: the name of the job remotely."""

    run: str
    job: str = ""
    """A hash of the run, of where it runs and of what it sends; file names begin with it."""
    service: str
    """On which service the job runs, as the backend names it."""
    account: str = ""
    """Whose files and batches these are there, as the backend tells accounts apart."""
    lines: int
    bytes: int
    """The size of the input."""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The user's own; ours are added to it."""


class AccountChanged(Entry, frozen=True, kw_only=True):
    """Somebody said that another key is the same account's: the job goes on with it."""

    account: str


class ShardEntry(Entry, frozen=True, kw_only=True):
    """Something that happened to one shard; shards are numbered from 1."""

    shard: int


class Skipped(Entry, frozen=True, kw_only=True):
    """So many invalid lines of the input are left out; `ranges` as in Planned, without bytes."""

    lines: int
    ranges: array[int]


class RoundPlanned(Entry, frozen=True, kw_only=True):
    """Lines that are worth another try are sent again, in the shards planned with this: all of them.

    `round` counts from 1.
    """

    round: int


class CancelRequested(Entry, frozen=True, kw_only=True):
    """Somebody asked for the job to be cancelled: nothing more is sent, what is done is kept."""


class FinishBegun(Entry, frozen=True, kw_only=True):
    """The deadline nears: no more batches; what is left is asked for at the ordinary price."""


class Finished(Entry, frozen=True, kw_only=True):
    """The results are whole and on the disk.

    `tally` counts every line of the input once, by its last outcome; `quarantined` and `usage` are
    over all rounds. `late` are good results for lines that already had one.
    """

    bytes: int
    tally: Tally
    late: int = 0


class Audited(Entry, frozen=True, kw_only=True):
    """The list was compared with the journal.

    It has so many `batches` of the job; `strays` are the ids of those that the journal did not know.
    """

    batches: int
    strays: tuple[str, ...] = ()


class Elected(Entry, frozen=True, kw_only=True):
    """Of all runners of the job the one in this place may create batches.

    Its oldest file is `file_id`, which is its claim; "" when somebody said that there is no other.
    """

    place: str
    file_id: str = ""


class Placed(Entry, frozen=True, kw_only=True):
    """Where this process works (JobDirectory.place)."""

    durable: ClassVar[bool] = False
    place: str


class StoodBack(Entry, frozen=True, kw_only=True):
    """Another runner may create batches: this process leaves that to it."""

    durable: ClassVar[bool] = False
    reason: str


class Reconciled(Entry, frozen=True, kw_only=True):
    """The lists were read by this process, and the journal has all that they show of ours."""

    durable: ClassVar[bool] = False


class Surveyed(Entry, frozen=True, kw_only=True):
    """A page of the list was taken in; the next comes after `cursor`, if there is one to read."""

    durable: ClassVar[bool] = False
    cursor: str | None = None
    others: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The lines of others' unfinished batches on the page, by model."""


class Delayed(Entry, frozen=True, kw_only=True):
    """A request for the job as a whole failed in a passing way: not again before `until`."""

    durable: ClassVar[bool] = False
    until: float
    reason: str


class Halted(Entry, frozen=True, kw_only=True):
    """A request for the job as a whole was refused: this process leaves the job."""

    durable: ClassVar[bool] = False
    reason: str
