"""Transitions: the changes of batches and files that happen by themselves as time goes by.

Theory of operation. A batch always has one next event, which ends its present status. The event and
its time follow from the batch's own record, the settings and its draws alone (see next_event). A
file has one event, its expiry. DueTimes holds the time of every next event. `advance` takes all
that is due by a time, in order, and applies each at its due time, whatever the clock says by then.
So history does not depend on when anybody looked. Nothing else changes a batch, except a
cancellation.

The events of a batch:

1. ACCEPTED: its input is validated. It begins to run, or fails.
2. EXECUTED: all its lines have run.
3. CANCEL_REQUESTED: somebody else cancels it (a fault).
4. WINDOW_CLOSED: it expires with the lines that have run.
5. WRITTEN, PARTLY_WRITTEN, CANCEL_FINISHED: its results are written, and it ends.

Reading the input (1) and writing the results (5) may be slow. Each is a Task of a Worker. While it
is not ready, `advance` stops there, and all that is due later waits too. So the past is always
complete up to some moment, and that moment comes nearer.

An input that is damaged on the disk fails its batch (1). A batch that had begun to run expires
without results, and its `errors` say why. The other batches go on.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from batchsim.backends.fake import execution
from batchsim.backends.fake.service.background import Future, NotReady, Task, Worker
from batchsim.backends.fake.store import BatchRecord, FileRecord, Records
from batchsim.domain.batches import RequestCounts
from batchsim.domain.lifecycle import Event, Status
from batchsim.domain.models import snapshot
from batchsim.domain.validation.batch_errors import input_unreadable
from batchsim.errors import FileCorrupt
from batchsim.stores import Store

SMALL_INPUT = 1 << 18  # bytes; smaller ones are validated at once, in hundredths of a second
FEW_LINES = 1_000  # the results of up to this many lines are always written at once

_WRITTEN = (Event.WRITTEN, Event.PARTLY_WRITTEN, Event.CANCEL_FINISHED)


class Transitions:
    """Changes the batches and files of `records` as they become due."""

    def __init__(
        self, records: Records, store: Store, settings: execution.CurrentSettings, worker: Worker
    ) -> None:
        self._records = records
        self._settings = settings
        self._worker = worker
        self._due_times = DueTimes()
        self._executions = execution.Executions(store, settings)
        self._validation = execution.Validation(records, self._executions)
        self._ended: list[str] = []
        for file in records.files.values():
            self.schedule_file(file)
        for batch in records.batches.values():
            self.schedule_batch(batch)

    def schedule_file(self, record: FileRecord) -> None:
        if record.file.expires_at is not None:
            self._due_times.set(record.file.id, float(record.file.expires_at), FILES)

    def schedule_batch(self, record: BatchRecord) -> None:
        """Schedule the next event of a batch, and start the slow work that it needs."""
        settings = self._settings.of(record)
        event, due = execution.next_event(record, settings)
        self._due_times.set(record.batch.id, due, BATCHES, record.number)
        if due < math.inf and event is Event.ACCEPTED:
            self._worker.start(self._inspection_task(record, due, settings))
        elif due < math.inf and event in _WRITTEN and record.started is not None:
            self._worker.start(self._writing_task(record, event, due, settings))
        else:
            self._worker.cancel(record.batch.id)

    def advance(self, now: float) -> Future | None:
        """Apply what is due by `now`, in order. Return the Future that the rest waits for."""
        try:
            while (first := self._due_times.first(now)) is not None:
                due, identifier = first
                if identifier in self._records.files:
                    self.remove_file(identifier, due)
                else:
                    self._end_status(self._records.batches[identifier], due)
        except NotReady as waiting:
            return waiting.future
        return None

    def remove_file(self, identifier: str, at: float) -> None:
        """Delete a file. Its content stays while a batch that has not ended reads it."""
        self._records.save(at, removed=identifier)
        self._due_times.drop(identifier)
        self._records.drop_if_unused(identifier)

    def cancel(self, record: BatchRecord, now: float) -> BatchRecord:
        """Cancel a batch that has not ended. Lines that have run keep their results."""
        return self._enter(self._stopped(record, now), Event.CANCEL_REQUESTED, now)

    def counts(self, record: BatchRecord, now: float) -> RequestCounts:
        """Return the batch's counts at `now`, after running the lines that have become due."""
        batch = record.batch
        if batch.status is not Status.IN_PROGRESS:
            return batch.request_counts
        try:
            execution = self._executions.execution(record)
            has_run = execution.run(self._executions.finished(record, now))
        except FileCorrupt:
            return batch.request_counts
        if has_run:
            self._records.save(now)  # a restart must not go back behind what was seen
        return RequestCounts(batch.request_counts.total, execution.completed, execution.failed)

    def take_ended(self) -> list[str]:
        """Return the ids of the batches that have ended since the last call, in that order."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Drop what is running. It runs again when the records are opened again."""
        self._worker.close()
        self._executions.close()

    def _end_status(self, record: BatchRecord, due: float) -> None:
        event, _ = execution.next_event(record, self._settings.of(record))
        if event is Event.ACCEPTED:  # 1
            self._validate(record, due)
        elif event is Event.EXECUTED:  # 2
            self._enter(self._stopped(record, math.inf), event, due)
        elif event is Event.CANCEL_REQUESTED:  # 3
            self.cancel(record, due)
        elif event is Event.WINDOW_CLOSED:  # 4
            self._enter(self._stopped(record, due), event, due)
        else:  # 5
            self._write_results(record, event, due)

    def _stopped(self, record: BatchRecord, at: float) -> BatchRecord:
        try:
            return self._executions.stopped(record, at)
        except FileCorrupt:
            return record

    def _enter(
        self,
        record: BatchRecord,
        event: Event,
        at: float,
        files: Sequence[FileRecord] = (),
        **changes: Any,
    ) -> BatchRecord:
        """Move a batch to the status that follows `event`, and save it with its new `files`."""
        batch = record.batch.after(event, int(at), **changes)
        record = replace(record, batch=batch, since=at)
        faults = self._settings.of(record).faults
        if batch.status.is_terminal:
            record = replace(record, released=at + faults.tokens_held_for)
        self._records.save(at, files=files, batch=record)
        self.schedule_batch(record)
        for file in files:
            self.schedule_file(file)
        if batch.status.is_terminal:
            self._ended += [batch.id] * (2 if faults.webhooks_twice else 1)
            self._executions.forget(batch.id)
            self._records.drop_if_unused(batch.input_file_id)
        return record

    def _validate(self, record: BatchRecord, due: float) -> None:
        settings = self._settings.of(record)
        outcome: execution.Accepted | execution.Rejected
        if (error := self._validation.early_error(record, settings)) is not None:
            outcome = execution.Rejected(record, (error,))
        else:
            try:
                inspection = self._worker.result(self._inspection_task(record, due, settings))
                outcome = self._validation.outcome(record, due, settings, inspection)
            except FileCorrupt as damage:
                outcome = execution.Rejected(record, (input_unreadable(damage.message),))
        if isinstance(outcome, execution.Rejected):
            self._enter(outcome.record, Event.REJECTED, due, errors=outcome.errors)
            return
        self._executions.begin(record, outcome.execution)
        self._enter(
            replace(outcome.record, started=due),
            Event.ACCEPTED,
            due,
            model=snapshot(outcome.model) if outcome.model else None,
            request_counts=RequestCounts(total=outcome.lines),
        )

    def _write_results(self, record: BatchRecord, event: Event, due: float) -> None:
        if record.started is None:
            self._enter(record, event, due)
            return
        settings = self._settings.of(record)
        try:
            output, errors, usage = self._worker.result(
                self._writing_task(record, event, due, settings)
            )
        except FileCorrupt as damage:
            event = Event.PARTLY_WRITTEN if event is Event.WRITTEN else event
            self._enter(record, event, due, errors=(input_unreadable(damage.message),))
            return
        self._enter(
            record,
            event,
            due,
            [file for file in (output, errors) if file],
            usage=usage,
            output_file_id=output and output.file.id,
            error_file_id=errors and errors.file.id,
        )

    def _inspection_task(
        self, record: BatchRecord, due: float, settings: execution.Settings
    ) -> Task[execution.Inspection]:
        file = self._records.files.get(record.batch.input_file_id)
        return Task(
            record.batch.id,
            (record, due, settings),
            due,
            is_large=file is not None and file.file.bytes > SMALL_INPUT,
            do=partial(self._validation.inspect, record, due, settings),
        )

    def _writing_task(
        self, record: BatchRecord, event: Event, due: float, settings: execution.Settings
    ) -> Task[execution.ResultFiles]:
        return Task(
            record.batch.id,
            (record, event, due, settings),
            due,
            is_large=record.batch.request_counts.total > FEW_LINES,
            do=partial(self._executions.write, record, event, due, settings),
        )


FILES, BATCHES = 0, 1


class DueTimes:
    """The due times of files and batches by id, at most one for each.

    They come out in order: at the same time files before batches, and batches by number. So history
    never depends on how time is divided into calls.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, str]] = []
        self._due: dict[str, float] = {}

    def set(self, identifier: str, due: float, kind: int, number: int = 0) -> None:
        """Set or replace the due time of `identifier`; infinity means never."""
        self._due[identifier] = due
        if due < math.inf:
            heapq.heappush(self._heap, (due, kind, number, identifier))

    def drop(self, identifier: str) -> None:
        self._due.pop(identifier, None)

    def first(self, now: float) -> tuple[float, str] | None:
        """Return the first due time by `now`, and its id. It stays until it is set or dropped."""
        while self._heap and self._heap[0][0] <= now:
            due, _, _, identifier = self._heap[0]
            if self._due.get(identifier) == due:
                return due, identifier
            heapq.heappop(self._heap)
        return None
