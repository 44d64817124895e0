"""The batches that run their lines: which executions there are, and what of each is done by a time."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import replace
from typing import BinaryIO

from batchsim.backends.fake.behaviour import CurrentBehaviour
from batchsim.backends.fake.checking import index_lines
from batchsim.backends.fake.course import running_time
from batchsim.backends.fake.execution import Execution, Work
from batchsim.backends.fake.records import BatchRecord
from batchsim.domain.batches import RequestCounts
from batchsim.domain.lifecycle import Status
from batchsim.stores import Store


class Running:
    """The executions by batch: from the start of a batch until its results are written."""

    def __init__(self, store: Store, behaviour: CurrentBehaviour) -> None:
        self._store = store
        self._behaviour = behaviour
        self._executions: dict[str, Execution] = {}

    def prepare(
        self, record: BatchRecord, started: float, offsets: array[int], lines: int
    ) -> Execution:
        """An execution of the batch's lines, which start at a time and lie at those offsets."""
        behaviour, number = self._behaviour.of(record), record.number
        identifier = record.batch.input_file_id
        running = running_time(number, lines, behaviour)

        def finished_at(place: int) -> float:
            return started + running * (place + 1) / lines

        def open_input() -> BinaryIO:
            return self._store.open_content(identifier)

        order = behaviour.draws.order("order", number, lines)
        work = Work(number, open_input, offsets, order, finished_at)
        return Execution(work, behaviour.respond, behaviour.draws, behaviour.faults)

    def begin(self, record: BatchRecord, execution: Execution) -> None:
        """Let that be the execution of the batch."""
        self._executions[record.batch.id] = execution

    def execution(self, record: BatchRecord) -> Execution:
        """The execution of a batch that has begun; anew when the process that began it is gone."""
        execution = self._executions.get(record.batch.id)
        if execution is None:
            total = record.batch.request_counts.total
            with self._store.open_content(record.batch.input_file_id) as stream:
                offsets = index_lines(stream, total)
            execution = self.prepare(record, record.started or 0.0, offsets, total)
            self.begin(record, execution)
        return execution

    def finished(self, record: BatchRecord, now: float) -> int:
        """How many lines of a batch in progress have finished by now."""
        work = self.execution(record).work
        return bisect_right(range(len(work.order)), now, key=work.finished_at)

    def stopped(self, record: BatchRecord, at: float) -> BatchRecord:
        """The batch with what ran by then, if it is in progress; else the batch as it is."""
        if record.batch.status is not Status.IN_PROGRESS:
            return record
        execution, ran = self.execution(record), self.finished(record, at)
        execution.run(ran)
        total = record.batch.request_counts.total
        counts = RequestCounts(total, execution.completed, execution.failed)
        return replace(record, ran=ran, batch=replace(record.batch, request_counts=counts))

    def forget(self, identifier: str) -> None:
        """Forget the execution of a batch, if there is one."""
        execution = self._executions.pop(identifier, None)
        if execution:
            execution.close()

    def close(self) -> None:
        """Forget all of them; each is run again when the records are opened again."""
        for execution in self._executions.values():
            execution.close()
        self._executions.clear()
