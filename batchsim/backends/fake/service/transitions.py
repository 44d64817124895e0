"""What happens to batches and files by themselves, as time goes by.

Theory of operation. A batch is always on its way to the end of its present status; `course`
says what will end it and when, from the batch's own record, the pacing and its draws alone. These
ends stand in the agenda. `advance` takes from the agenda all that is due by a time, in due order,
and applies each at its due time, whatever the clock says by then: so history does not depend on
when anybody looked. Nothing else changes a batch, except a cancellation.

What an end needs done before (validating the input, writing the results) is a Task. When it is not
done yet, `advance` stops there, and all that is due after it waits too: the past is always whole up
to some moment, and that moment comes nearer.

What is due next.

Everything that will happen by itself stands here with its due time: at most one entry for each
batch (the end of its present status) and for each file (its expiry). Entries come out by due time;
at the same time files before batches, and batches by number, so that history never depends on how
time was cut into pieces.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from batchsim.backends.fake.execution.executions import Results, Running
from batchsim.backends.fake.execution.next_event import next_event
from batchsim.backends.fake.execution.settings import Behaviour, CurrentBehaviour
from batchsim.backends.fake.execution.validation import Accepted, Examined, Rejected, Validation
from batchsim.backends.fake.service.background import Job, Task, Tasks, Unfinished
from batchsim.backends.fake.store.records import BatchRecord, FileRecord, Records
from batchsim.domain.batches import RequestCounts
from batchsim.domain.lifecycle import Event, Status
from batchsim.domain.models import snapshot
from batchsim.stores import Store

FILES, BATCHES = 0, 1


class Agenda:
    """Due times by id."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, str]] = []
        self._due: dict[str, float] = {}

    def plan(self, identifier: str, due: float, kind: int, number: int = 0) -> None:
        """Let `identifier` be due at `due` instead of when it was; infinity means never."""
        self._due[identifier] = due
        if due < math.inf:
            heapq.heappush(self._heap, (due, kind, number, identifier))

    def drop(self, identifier: str) -> None:
        """Let nothing be due for `identifier` any more."""
        self._due.pop(identifier, None)

    def first(self, now: float) -> tuple[float, str] | None:
        """What is due first of all that is due by `now`, and when. It stays until planned anew."""
        while self._heap and self._heap[0][0] <= now:
            due, _, _, identifier = self._heap[0]
            if self._due.get(identifier) == due:
                return due, identifier
            heapq.heappop(self._heap)
        return None


SMALL_INPUT = 1 << 18
"""Inputs of up to so many bytes are validated at once in any case: within some hundredths of a second."""

FEW_LINES = 1_000
"""The results of so many lines are written at once in any case."""

_WRITTEN = (Event.WRITTEN, Event.PARTLY_WRITTEN, Event.CANCEL_FINISHED)


class Progress:
    """Moves the batches and files of `records` along."""

    def __init__(
        self, records: Records, store: Store, behaviour: CurrentBehaviour, tasks: Tasks
    ) -> None:
        self._records = records
        self._behaviour = behaviour
        self._tasks = tasks
        self._agenda = Agenda()
        self._running = Running(store, behaviour)
        self._validation = Validation(records, self._running)
        self._ended: list[str] = []
        for file in records.files.values():
            self.plan_file(file)
        for batch in records.batches.values():
            self.plan_batch(batch)

    def plan_file(self, record: FileRecord) -> None:
        """Have a file expire when its time comes."""
        if record.file.expires_at is not None:
            self._agenda.plan(record.file.id, float(record.file.expires_at), FILES)

    def plan_batch(self, record: BatchRecord) -> None:
        """Have a batch leave its status when its time comes."""
        behaviour = self._behaviour.of(record)
        event, due = next_event(record, behaviour)
        self._agenda.plan(record.batch.id, due, BATCHES, record.number)
        if due < math.inf and event is Event.ACCEPTED:
            self._tasks.begin(self._examining(record, due, behaviour))
        elif due < math.inf and event in _WRITTEN and record.started is not None:
            self._tasks.begin(self._writing(record, event, due, behaviour))
        else:
            self._tasks.drop(record.batch.id)

    def advance(self, now: float) -> Job | None:
        """Apply what is due by `now`, in due order; what the rest of it waits for, if anything."""
        try:
            while (first := self._agenda.first(now)) is not None:
                due, identifier = first
                if identifier in self._records.files:
                    self.remove_file(identifier, due)
                else:
                    self._end_status(self._records.batches[identifier], due)
        except Unfinished as unfinished:
            return unfinished.job
        return None

    def is_idle(self, identifier: str, now: float) -> bool:
        """Whether nothing is due by `now`, and that batch, if it is one, runs no lines meanwhile."""
        record = self._records.batches.get(identifier)
        is_running = record is not None and record.batch.status is Status.IN_PROGRESS
        return not is_running and self._agenda.first(now) is None

    def remove_file(self, identifier: str, at: float) -> None:
        """Delete a file; its content stays as long as a batch that has not ended reads it."""
        self._records.save(at, removed=identifier)
        self._agenda.drop(identifier)
        self._records.drop_if_unused(identifier)

    def cancel(self, record: BatchRecord, now: float) -> BatchRecord:
        """Cancel a batch that has not ended; what has run by now keeps its results."""
        return self._enter(self._running.stopped(record, now), Event.CANCEL_REQUESTED, now)

    def counts(self, record: BatchRecord, now: float) -> RequestCounts:
        """The batch's counts as they are by now; runs the lines that were due since the last look."""
        batch = record.batch
        if batch.status is not Status.IN_PROGRESS:
            return batch.request_counts
        execution = self._running.execution(record)
        if execution.run(self._running.finished(record, now)):
            self._records.save(now)  # what was seen must not be unseen after a restart
        return RequestCounts(batch.request_counts.total, execution.completed, execution.failed)

    def take_ended(self) -> list[str]:
        """The ids of the batches that have ended since the last call, in that order."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Forget what is running; it is run again when the records are opened again."""
        self._tasks.close()
        self._running.close()

    def _end_status(self, record: BatchRecord, due: float) -> None:
        event, _ = next_event(record, self._behaviour.of(record))
        if event is Event.ACCEPTED:
            self._validate(record, due)
        elif event is Event.EXECUTED:
            self._enter(self._running.stopped(record, math.inf), event, due)
        elif event is Event.CANCEL_REQUESTED:
            self.cancel(record, due)
        elif event is Event.WINDOW_CLOSED:
            self._enter(self._running.stopped(record, due), event, due)
        else:
            self._write_results(record, event, due)

    def _enter(
        self,
        record: BatchRecord,
        event: Event,
        at: float,
        files: Sequence[FileRecord] = (),
        **changes: Any,
    ) -> BatchRecord:
        """Move a batch to the status that follows `event`, and keep it so, with its new `files`."""
        batch = record.batch.after(event, int(at), **changes)
        record = replace(record, batch=batch, since=at)
        faults = self._behaviour.of(record).faults
        if batch.status.is_terminal:
            record = replace(record, released=at + faults.tokens_held_for)
        self._records.save(at, files=files, batch=record)
        self.plan_batch(record)
        for file in files:
            self.plan_file(file)
        if batch.status.is_terminal:
            self._ended += [batch.id] * (2 if faults.webhooks_twice else 1)
            self._running.forget(batch.id)
            self._records.drop_if_unused(batch.input_file_id)
        return record

    def _validate(self, record: BatchRecord, due: float) -> None:
        behaviour = self._behaviour.of(record)
        outcome: Accepted | Rejected
        if (error := self._validation.mishap(record, behaviour)) is not None:
            outcome = Rejected(record, (error,))
        else:
            examined = self._tasks.result(self._examining(record, due, behaviour))
            outcome = self._validation.judge(record, due, behaviour, examined)
        if isinstance(outcome, Rejected):
            self._enter(outcome.record, Event.REJECTED, due, errors=outcome.errors)
            return
        self._running.begin(record, outcome.execution)
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
        behaviour = self._behaviour.of(record)
        output, errors, usage = self._tasks.result(self._writing(record, event, due, behaviour))
        self._enter(
            record,
            event,
            due,
            [file for file in (output, errors) if file],
            usage=usage,
            output_file_id=output and output.file.id,
            error_file_id=errors and errors.file.id,
        )

    def _examining(self, record: BatchRecord, due: float, behaviour: Behaviour) -> Task[Examined]:
        file = self._records.files.get(record.batch.input_file_id)
        return Task(
            record.batch.id,
            (record, due, behaviour),
            due,
            is_large=file is not None and file.file.bytes > SMALL_INPUT,
            do=partial(self._validation.examine, record, due, behaviour),
        )

    def _writing(
        self, record: BatchRecord, event: Event, due: float, behaviour: Behaviour
    ) -> Task[Results]:
        return Task(
            record.batch.id,
            (record, event, due, behaviour),
            due,
            is_large=record.batch.request_counts.total > FEW_LINES,
            do=partial(self._running.write, record, event, due, behaviour),
        )
