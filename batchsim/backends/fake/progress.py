"""What happens to batches and files by themselves, as time goes by.

Theory of operation. A batch is always on its way to the end of its present status; `course`
says what will end it and when, from the batch's own record, the pacing and its draws alone. These
ends stand in the agenda. `advance` takes from the agenda all that is due by a time, in due order,
and applies each at its due time, whatever the clock says by then: so history does not depend on
when anybody looked. Nothing else changes a batch, except a cancellation.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from batchsim.backends.fake.agenda import BATCHES, FILES, Agenda
from batchsim.backends.fake.checking import Findings, check_input, count_lines, index_lines
from batchsim.backends.fake.course import Behaviour, closing_time, next_event, running_time
from batchsim.backends.fake.execution import Execution, Work
from batchsim.backends.fake.faults import Faults
from batchsim.backends.fake.ids import file_id
from batchsim.backends.fake.outputs import Results, Written
from batchsim.backends.fake.records import BatchRecord, FileRecord, Records
from batchsim.domain.batches import Batch, BatchError, RequestCounts
from batchsim.domain.files import File, Purpose
from batchsim.domain.lifecycle import Event, Status
from batchsim.domain.validation import (
    InputRules,
    file_not_found,
    invalid_json_line,
    token_limit_exceeded,
)
from batchsim.responders.models import alias, snapshot
from batchsim.stores import Store

FULL_QUEUE_TOKENS = 90_000
"""The limit that a full queue names when the account has none."""


class Progress:
    """Moves the batches and files of `records` along."""

    def __init__(self, records: Records, store: Store, behaviour: Behaviour) -> None:
        self._records = records
        self._store = store
        self._behaviour = behaviour
        self._agenda = Agenda()
        self._executions: dict[str, Execution] = {}
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
        _, due = next_event(record, self._of(record))
        self._agenda.plan(record.batch.id, due, BATCHES, record.number)

    def advance(self, now: float) -> None:
        """Apply everything that is due by `now`, in due order."""
        while (first := self._agenda.first(now)) is not None:
            due, identifier = first
            if identifier in self._records.files:
                self.remove_file(identifier, due)
            else:
                self._end_status(self._records.batches[identifier], due)

    def remove_file(self, identifier: str, at: float) -> None:
        """Delete a file; its content stays as long as a batch that has not ended reads it."""
        self._records.save(at, removed=identifier)
        self._agenda.drop(identifier)
        self._records.drop_if_unused(identifier)

    def cancel(self, record: BatchRecord, now: float) -> BatchRecord:
        """Cancel a batch that has not ended; what has run by now keeps its results."""
        return self._enter(self._stop(record, now), Event.CANCEL_REQUESTED, now)

    def counts(self, record: BatchRecord, now: float) -> RequestCounts:
        """The batch's counts as they are by now; runs the lines that were due since the last look."""
        batch = record.batch
        if batch.status is not Status.IN_PROGRESS:
            return batch.request_counts
        execution = self._execution(record)
        if execution.run(self._finished(record, now)):
            self._records.save(now)  # what was seen must not be unseen after a restart
        return RequestCounts(batch.request_counts.total, execution.completed, execution.failed)

    def shown(self, record: BatchRecord, now: float) -> Batch:
        """The batch as a client sees it now."""
        batch, counts = record.batch, self.counts(record, now)
        if counts != batch.request_counts:
            batch = replace(batch, request_counts=counts)
        if (
            batch.status.is_terminal
            and now < record.since + self._of(record).faults.result_ids_late_by
        ):
            return replace(batch, output_file_id=None, error_file_id=None)
        return batch

    def set_faults(self, faults: Faults) -> None:
        """Let other things go wrong from the next event on."""
        self._behaviour = replace(self._behaviour, faults=faults)

    def is_forgotten(self, record: BatchRecord, now: float) -> bool:
        """Whether a batch that ended is not found any more."""
        after = self._of(record).faults.forgotten_after
        return after is not None and record.batch.status.is_terminal and now >= record.since + after

    def take_ended(self) -> list[str]:
        """The ids of the batches that have ended since the last call, in that order."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Forget what is running; it is run again when the records are opened again."""
        for execution in self._executions.values():
            execution.close()
        self._executions.clear()

    def _of(self, record: BatchRecord) -> Behaviour:
        behaviour = self._behaviour
        if not record.batch.metadata and not behaviour.faults.batches:
            return behaviour
        return behaviour.of(record)

    def _end_status(self, record: BatchRecord, due: float) -> None:
        event, _ = next_event(record, self._of(record))
        if event is Event.ACCEPTED:
            self._validate(record, due)
        elif event is Event.EXECUTED:
            self._enter(self._stop(record, math.inf), event, due)
        elif event is Event.CANCEL_REQUESTED:
            self.cancel(record, due)
        elif event is Event.WINDOW_CLOSED:
            self._enter(self._stop(record, due), event, due)
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
        if batch.status.is_terminal:
            record = replace(record, released=at + self._of(record).faults.tokens_held_for)
        self._records.save(at, files=files, batch=record)
        self.plan_batch(record)
        for file in files:
            self.plan_file(file)
        if batch.status.is_terminal:
            self._ended += [batch.id] * (2 if self._of(record).faults.webhooks_twice else 1)
            self._forget(batch)
        return record

    def _forget(self, batch: Batch) -> None:
        execution = self._executions.pop(batch.id, None)
        if execution:
            execution.close()
        self._records.drop_if_unused(batch.input_file_id)

    # Validating

    def _validate(self, record: BatchRecord, due: float) -> None:
        behaviour, batch, number = self._of(record), record.batch, record.number
        faults, draws = behaviour.faults, behaviour.draws
        if draws.share("failed validation", number) < faults.failed_validation:
            self._reject(record, due, invalid_json_line(1))
            return
        lost = draws.share("incident", number) < faults.incident
        if lost or batch.input_file_id not in self._records.files:
            self._reject(record, due, file_not_found(batch.input_file_id, behaviour.organization))
            return
        rules = InputRules(
            endpoint=batch.endpoint, limits=behaviour.limits, supports=behaviour.supports
        )
        with self._store.open_content(batch.input_file_id) as stream:
            ahead = self._ahead(record, due, stream)
            findings = check_input(
                stream,
                rules,
                behaviour.limits,
                count_tokens=bool(behaviour.limits.enqueued_tokens),
                see=ahead.take if ahead else None,
            )
        queue = alias(findings.model) if findings.model else None
        record = replace(record, queue=queue, tokens=0 if findings.errors else findings.tokens)
        if findings.errors:
            self._reject(record, due, *findings.errors)
        elif (limit := self._token_limit(record, due, faults)) is not None:
            error = token_limit_exceeded(queue or "", behaviour.organization, limit)
            self._reject(record, due, error)
        else:
            self._accept(record, due, findings, ahead)

    def _ahead(self, record: BatchRecord, due: float, stream: BinaryIO) -> Execution | None:
        """An execution to take in the lines as they are validated, if all are sure to run."""
        behaviour = self._of(record)
        if not behaviour.may_ask_early:
            return None
        lines = count_lines(stream)
        stream.seek(0)
        end = due + running_time(record.number, lines, behaviour)
        if lines > behaviour.limits.requests_per_batch or end > closing_time(record, behaviour):
            return None
        return self._prepared(record, due, array("Q"), lines)

    def _accept(
        self, record: BatchRecord, due: float, findings: Findings, ahead: Execution | None
    ) -> None:
        if ahead is not None and ahead.is_whole:
            ahead.work = replace(ahead.work, offsets=findings.offsets)
            execution = ahead
        else:
            execution = self._prepared(record, due, findings.offsets, findings.lines)
        self._executions[record.batch.id] = execution
        self._enter(
            replace(record, started=due),
            Event.ACCEPTED,
            due,
            model=snapshot(findings.model) if findings.model else None,
            request_counts=RequestCounts(total=findings.lines),
        )

    def _reject(self, record: BatchRecord, due: float, *errors: BatchError) -> None:
        self._enter(record, Event.REJECTED, due, errors=errors)

    def _token_limit(self, record: BatchRecord, now: float, faults: Faults) -> int | None:
        """The limit of the batch's queue if the batch's tokens do not fit into it."""
        limit = self._behaviour.limits.enqueued_tokens.get(record.queue or "")
        if record.number < faults.full_queue_batches:
            return FULL_QUEUE_TOKENS if limit is None else limit
        if limit is None:
            return None
        queued = sum(
            other.tokens
            for other in self._records.batches.values()
            if other.queue == record.queue and (other.released is None or other.released > now)
        )
        return limit if queued + record.tokens > limit else None

    # Running

    def _prepared(
        self, record: BatchRecord, started: float, offsets: array[int], lines: int
    ) -> Execution:
        behaviour, number, identifier = self._of(record), record.number, record.batch.input_file_id
        running = running_time(number, lines, behaviour)

        def finished_at(place: int) -> float:
            return started + running * (place + 1) / lines

        def open_input() -> BinaryIO:
            return self._store.open_content(identifier)

        order = behaviour.draws.order("order", number, lines)
        work = Work(number, open_input, offsets, order, finished_at)
        return Execution(work, behaviour.respond, behaviour.draws, behaviour.faults)

    def _execution(self, record: BatchRecord) -> Execution:
        execution = self._executions.get(record.batch.id)
        if execution is None:
            total = record.batch.request_counts.total
            with self._store.open_content(record.batch.input_file_id) as stream:
                offsets = index_lines(stream, total)
            execution = self._prepared(record, record.started or 0.0, offsets, total)
            self._executions[record.batch.id] = execution
        return execution

    def _finished(self, record: BatchRecord, now: float) -> int:
        """How many lines of a batch in progress have finished by now."""
        work = self._execution(record).work
        return bisect_right(range(len(work.order)), now, key=work.finished_at)

    def _stop(self, record: BatchRecord, at: float) -> BatchRecord:
        """The batch with what ran by then, if it is in progress; else the batch as it is."""
        if record.batch.status is not Status.IN_PROGRESS:
            return record
        execution, ran = self._execution(record), self._finished(record, at)
        execution.run(ran)
        total = record.batch.request_counts.total
        counts = RequestCounts(total, execution.completed, execution.failed)
        return replace(record, ran=ran, batch=replace(record.batch, request_counts=counts))

    # Results

    def _write_results(self, record: BatchRecord, event: Event, due: float) -> None:
        if record.started is None:
            self._enter(record, event, due)
            return
        behaviour, number = self._of(record), record.number
        execution = self._execution(record)
        execution.end(record.ran)
        order = execution.work.order
        results = Results(
            execution,
            order if behaviour.shuffled else range(len(order)),
            number=number,
            ending=Status.CANCELLED if event is Event.CANCEL_FINISHED else Status.EXPIRED,
            begin=record.since,
            end=due,
            draws=behaviour.draws,
            faults=behaviour.faults,
        )
        output_id = file_id(behaviour.draws, "output", number)
        error_id = file_id(behaviour.draws, "error", number)
        output, errors = results.write(self._store, output_id, error_id)
        files = [
            self._result_file(record, identifier, kind, written, due)
            for identifier, kind, written in (
                (output_id, "output", output),
                (error_id, "error", errors),
            )
            if written.lines
        ]
        self._enter(
            record,
            event,
            due,
            files,
            usage=execution.usage,
            output_file_id=output_id if output.lines else None,
            error_file_id=error_id if errors.lines else None,
        )

    def _result_file(
        self, record: BatchRecord, identifier: str, kind: str, written: Written, at: float
    ) -> FileRecord:
        lifetime: float = record.output_expires_after or self._behaviour.limits.file_lifetime
        if (kept := self._of(record).faults.results_live_for) is not None:
            lifetime = kept
        file = File(
            id=identifier,
            purpose=Purpose.BATCH_OUTPUT,
            filename=f"{record.batch.id}_{kind}.jsonl",
            bytes=written.bytes,
            created_at=int(at),
            expires_at=int(at + lifetime),
        )
        return FileRecord(file=file, created=at, lines=written.lines)
