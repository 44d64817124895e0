"""The executions of all batches that run: the progress of each at a time, and its result files."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from batchsim.backends.fake.execution.check_input import index_lines, open_input
from batchsim.backends.fake.execution.execution import Execution, Workload
from batchsim.backends.fake.execution.next_event import running_time
from batchsim.backends.fake.execution.result_files import write_results
from batchsim.backends.fake.execution.settings import CurrentSettings, Settings
from batchsim.backends.fake.store import BatchRecord, FileRecord
from batchsim.domain.batches import RequestCounts, Usage
from batchsim.domain.lifecycle import Event, Status
from batchsim.stores import Contents, Store


class ResultFiles(NamedTuple):
    """The result files of a batch, None for one without lines, and the tokens of its lines."""

    output: FileRecord | None
    errors: FileRecord | None
    usage: Usage


class Executions:
    """Executions by batch, from the start of a batch until its results are written."""

    def __init__(self, store: Store, settings: CurrentSettings) -> None:
        self._store = store
        self._settings = settings
        self._executions: dict[str, Execution] = {}

    def prepare(
        self,
        record: BatchRecord,
        settings: Settings,
        started: float,
        offsets: array[int],
        lines: int,
    ) -> Execution:
        number = record.number
        identifier = record.batch.input_file_id
        seconds = running_time(number, lines, settings)

        reopen = partial(open_input, self._store, identifier)
        order = settings.draws.order("order", number, lines)
        workload = Workload(number, reopen, offsets, order, started, seconds)
        return Execution(workload, settings)

    def begin(self, record: BatchRecord, execution: Execution) -> None:
        self._executions[record.batch.id] = execution

    def execution(self, record: BatchRecord) -> Execution:
        """Return the execution of a batch, a new one if another process began it."""
        execution = self.known(record)
        if execution is None:
            execution = self.resume(record, self._settings.of(record), self._store)
            self.begin(record, execution)
        return execution

    def known(self, record: BatchRecord) -> Execution | None:
        return self._executions.get(record.batch.id)

    def resume(self, record: BatchRecord, settings: Settings, contents: Contents) -> Execution:
        total = record.batch.request_counts.total
        with open_input(contents, record.batch.input_file_id) as stream:
            offsets = index_lines(stream, total)
        return self.prepare(record, settings, record.started or 0.0, offsets, total)

    def finished(self, record: BatchRecord, now: float) -> int:
        workload = self.execution(record).workload
        return bisect_right(range(len(workload.order)), now, key=workload.finished_at)

    def stopped(self, record: BatchRecord, at: float) -> BatchRecord:
        """Return a batch in progress with the counts of that time, and any other batch as it is."""
        if record.batch.status is not Status.IN_PROGRESS:
            return record
        execution, ran = self.execution(record), self.finished(record, at)
        execution.run(ran)
        total = record.batch.request_counts.total
        counts = RequestCounts(total, execution.completed, execution.failed)
        return replace(record, ran=ran, batch=replace(record.batch, request_counts=counts))

    def write(
        self, record: BatchRecord, event: Event, due: float, settings: Settings, contents: Contents
    ) -> ResultFiles:
        """Write the result files of a batch that ends with `event` at the time `due`.

        Nothing else may use its execution meanwhile.
        """
        execution = self.known(record) or self.resume(record, settings, contents)
        execution.end(record.ran)
        ending = Status.CANCELLED if event is Event.CANCEL_FINISHED else Status.EXPIRED
        output, errors = write_results(
            contents, record, execution, settings, ending=ending, due=due
        )
        return ResultFiles(output, errors, execution.usage)

    def forget(self, identifier: str) -> None:
        execution = self._executions.pop(identifier, None)
        if execution:
            execution.close()

    def close(self) -> None:
        """Drop all of them. Each runs again when the records are opened again."""
        for execution in self._executions.values():
            execution.close()
        self._executions.clear()
