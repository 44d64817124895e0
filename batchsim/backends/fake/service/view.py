"""The view of a client: files and batches as they are, or late, or not at all.

The records hold the truth. Faults can hide some of it from clients for a time: a new file is not
found, a new batch is not listed, the ids of result files are missing.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import dropwhile, islice
from typing import TypeVar

from batchsim.backends import Listed, Page
from batchsim.backends.fake.execution import CurrentSettings
from batchsim.backends.fake.service.transitions import Transitions
from batchsim.backends.fake.store import BatchRecord, FileRecord, Records
from batchsim.domain import refusals
from batchsim.domain.batches import Batch
from batchsim.domain.files import File, Purpose

Record = TypeVar("Record")


UNREADABLE = (Purpose.USER_DATA, Purpose.ASSISTANTS)  # their files cannot be read (observed)


class View:
    """The files and batches of `records` as a client sees them at a time."""

    def __init__(
        self, records: Records, transitions: Transitions, settings: CurrentSettings
    ) -> None:
        self._records = records
        self._transitions = transitions
        self._settings = settings

    def find_file(self, identifier: str, now: float) -> FileRecord:
        """Return the file of that id. Raises NotFound, also while it is hidden."""
        record = self._records.file(identifier)
        if not self._is_seen(record, now):
            raise refusals.no_such_file(identifier)
        return record

    def find_readable(self, identifier: str, now: float) -> FileRecord:
        """Return the file of that id as find_file. Raises Refused if it cannot be read."""
        record = self.find_file(identifier, now)
        if record.file.purpose in UNREADABLE:
            raise refusals.not_downloadable(record.file.purpose)
        return record

    def find_batch(self, identifier: str, now: float) -> BatchRecord:
        """Return the batch of that id. Raises as Records.batch, and NotFound once forgotten."""
        record = self._records.batch(identifier)
        if self._is_forgotten(record, now):
            raise refusals.no_such_batch(identifier)
        return record

    def file(self, record: FileRecord, now: float) -> File:
        pending_for = self._settings.faults.file_pending_for
        if pending_for and now < record.created + pending_for:
            return replace(record.file, status="uploaded")
        return record.file

    def batch(self, record: BatchRecord, now: float) -> Batch:
        batch, counts = record.batch, self._transitions.counts(record, now)
        if counts != batch.request_counts:
            batch = replace(batch, request_counts=counts)
        if (
            batch.status.is_terminal
            and now < record.since + self._settings.of(record).faults.result_ids_late_by
        ):
            return replace(batch, output_file_id=None, error_file_id=None)
        return batch

    def files(
        self, *, purpose: str | None, limit: int, after: str | None, newest_first: bool, now: float
    ) -> Page[File]:
        """Return one page of the files. Raises NotFound for an unknown `after` (inferred)."""
        if after is not None:
            self._records.file(after)
        entries = self._records.files.items()
        return cut_page(
            reversed(entries) if newest_first else entries,
            lambda record: self.file(record, now),
            limit=limit,
            after=after,
            matches=lambda record: (
                (purpose is None or record.file.purpose == purpose) and self._is_seen(record, now)
            ),
        )

    def batches(self, *, limit: int, after: str | None, now: float) -> Page[Batch]:
        """Return one page of the batches. Raises NotFound for an unknown `after` (inferred)."""
        if after is not None and after not in self._records.batches:
            raise refusals.no_such_batch(after)
        stale_for = self._settings.faults.stale_list_for
        return cut_page(
            self._listed(),
            lambda record: self.batch(record, now),
            limit=limit,
            after=after,
            matches=lambda record: (
                now >= record.batch.created_at + stale_for and not self._is_forgotten(record, now)
            ),
        )

    def check_input_file(self, identifier: str, now: float) -> None:
        settings = self._settings.everywhere
        record = self._records.files.get(identifier)
        delay = settings.faults.file_unknown_for
        if delay and (record is None or now < record.created + delay):
            raise refusals.cannot_find_file(identifier, settings.project)
        if record is not None and record.file.purpose != Purpose.BATCH:
            raise refusals.wrong_input_purpose(identifier, record.file.purpose)

    def _listed(self) -> Iterable[tuple[str, BatchRecord]]:
        batches, settings = self._records.batches.items(), self._settings.everywhere
        if not settings.faults.unsorted_list:
            return reversed(batches)
        draws = settings.draws
        return sorted(batches, key=lambda entry: draws.draw("place in the list", entry[1].number))

    def _is_seen(self, record: FileRecord, now: float) -> bool:
        return now >= record.created + self._settings.faults.file_unseen_for

    def _is_forgotten(self, record: BatchRecord, now: float) -> bool:
        after = self._settings.of(record).faults.forgotten_after
        return after is not None and record.batch.status.is_terminal and now >= record.since + after


def cut_page(
    entries: Iterable[tuple[str, Record]],
    show: Callable[[Record], Listed],
    *,
    limit: int,
    after: str | None,
    matches: Callable[[Record], bool] = lambda _: True,
) -> Page[Listed]:
    """Return the first `limit` of the matching `entries` (id and record) after the id `after`.

    `after` must be among the entries, matching or not. `show` is called only for records on the
    page, so a page costs no more than finding its beginning.
    """
    rest = iter(entries)
    if after is not None:
        rest = dropwhile(lambda entry: entry[0] != after, rest)
        next(rest, None)
    matching = (record for _, record in rest if matches(record))
    found = list(islice(matching, limit + 1))
    return Page(tuple(show(record) for record in found[:limit]), has_more=len(found) > limit)
