"""The batches that run their lines: which executions there are, and what of each is done by a time."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from batchsim.backends.fake.execution.execution import Execution, Work
from batchsim.backends.fake.execution.next_event import running_time
from batchsim.backends.fake.execution.read_input import index_lines
from batchsim.backends.fake.execution.result_files import write_results
from batchsim.backends.fake.execution.settings import Behaviour, CurrentBehaviour
from batchsim.backends.fake.store.records import BatchRecord, FileRecord
from batchsim.domain.batches import RequestCounts, Usage
from batchsim.domain.lifecycle import Event, Status
from batchsim.stores import Contents, Store


class Results(NamedTuple):
    """The files with the results of a batch, as far as there are any, and what its lines used."""

    output: FileRecord | None
    errors: FileRecord | None
    usage: Usage


class Running:
    """The executions by batch: from the start of a batch until its results are written."""

    def __init__(self, store: Store, behaviour: CurrentBehaviour) -> None:
        self._store = store
        self._behaviour = behaviour
        self._executions: dict[str, Execution] = {}

    def prepare(
        self,
        record: BatchRecord,
        behaviour: Behaviour,
        started: float,
        offsets: array[int],
        lines: int,
    ) -> Execution:
        """An execution of the batch's lines, which start at a time and lie at those offsets."""
        number = record.number
        identifier = record.batch.input_file_id
        seconds = running_time(number, lines, behaviour)

        def open_input() -> BinaryIO:
            return self._store.open_content(identifier)

        order = behaviour.draws.order("order", number, lines)
        work = Work(number, open_input, offsets, order, started, seconds)
        return Execution(work, behaviour)

    def begin(self, record: BatchRecord, execution: Execution) -> None:
        """Let that be the execution of the batch."""
        self._executions[record.batch.id] = execution

    def execution(self, record: BatchRecord) -> Execution:
        """The execution of a batch that has begun; anew when the process that began it is gone."""
        execution = self.known(record)
        if execution is None:
            execution = self.resume(record, self._behaviour.of(record), self._store)
            self.begin(record, execution)
        return execution

    def known(self, record: BatchRecord) -> Execution | None:
        """The execution of a batch, if this process began it."""
        return self._executions.get(record.batch.id)

    def resume(self, record: BatchRecord, behaviour: Behaviour, contents: Contents) -> Execution:
        """An execution of a batch that another process began."""
        total = record.batch.request_counts.total
        with contents.open_content(record.batch.input_file_id) as stream:
            offsets = index_lines(stream, total)
        return self.prepare(record, behaviour, record.started or 0.0, offsets, total)

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

    def write(
        self,
        record: BatchRecord,
        event: Event,
        due: float,
        behaviour: Behaviour,
        contents: Contents,
    ) -> Results:
        """Write the result files of a batch that ends with `event` at the time `due`.

        While this is under way nobody else has anything to do with its execution.
        """
        execution = self.known(record) or self.resume(record, behaviour, contents)
        execution.end(record.ran)
        ending = Status.CANCELLED if event is Event.CANCEL_FINISHED else Status.EXPIRED
        output, errors = write_results(
            contents, record, execution, behaviour, ending=ending, due=due
        )
        return Results(output, errors, execution.usage)

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
