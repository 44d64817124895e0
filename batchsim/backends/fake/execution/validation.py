"""Validation of a batch: it is accepted and can run, or rejected with its errors."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from batchsim.backends.fake.execution.check_input import (
    InputSummary,
    check_input,
    count_lines,
    open_input,
)
from batchsim.backends.fake.execution.execution import Execution
from batchsim.backends.fake.execution.executions import Executions
from batchsim.backends.fake.execution.next_event import closing_time, running_time
from batchsim.backends.fake.execution.settings import Settings
from batchsim.backends.fake.store import BatchRecord, Records
from batchsim.domain.batches import BatchError
from batchsim.domain.models import alias
from batchsim.domain.validation import batch_errors
from batchsim.domain.validation.input_file import InputRules
from batchsim.stores import Contents

FULL_QUEUE_TOKENS = 90_000  # the limit that a full queue names when the account has none


class Inspection(NamedTuple):
    """The summary of an input, and an execution that can begin; None when there are errors."""

    summary: InputSummary
    execution: Execution | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The batch can run: `record` has its tokens, and `execution` can begin."""

    record: BatchRecord
    model: str | None
    lines: int
    execution: Execution


@dataclass(frozen=True, slots=True)
class Rejected:
    record: BatchRecord
    errors: tuple[BatchError, ...]


class Validation:
    """Checks the inputs of batches, and the queues that these batches join."""

    def __init__(self, records: Records, executions: Executions) -> None:
        self._records = records
        self._executions = executions

    def inspect(
        self, record: BatchRecord, due: float, settings: Settings, contents: Contents
    ) -> Inspection:
        """Read the input of a batch whose validation ends at the time `due`."""
        with open_input(contents, record.batch.input_file_id) as stream:
            ahead = self._ahead(record, due, settings, stream)
            summary = _summary(record, settings, stream, ahead)
        if summary.errors:
            return Inspection(summary, None)
        if ahead is None or not ahead.is_whole:
            offsets, lines = summary.offsets, summary.lines
            ahead = self._executions.prepare(record, settings, due, offsets, lines)
        ahead.workload = replace(ahead.workload, offsets=summary.offsets)
        return Inspection(summary, ahead)

    def outcome(
        self, record: BatchRecord, due: float, settings: Settings, inspection: Inspection
    ) -> Accepted | Rejected:
        summary, execution = inspection
        queue = alias(summary.model) if summary.model else None
        record = replace(record, queue=queue, tokens=0 if summary.errors else summary.tokens)
        if execution is None:
            return Rejected(record, summary.errors)
        limit = token_limit(record, due, settings, self._records.batches.values())
        if limit is not None:
            error = batch_errors.token_limit_exceeded(queue or "", settings.organization, limit)
            return Rejected(record, (error,))
        return Accepted(record, summary.model, summary.lines, execution)

    def early_error(self, record: BatchRecord, settings: Settings) -> BatchError | None:
        faults, draws, number = settings.faults, settings.draws, record.number
        if draws.share("failed validation", number) < faults.failed_validation:
            return batch_errors.invalid_json_line(1)
        identifier = record.batch.input_file_id
        lost = draws.share("incident", number) < faults.incident
        if lost or identifier not in self._records.files:
            return batch_errors.file_not_found(identifier, settings.organization)
        return None

    def _ahead(
        self, record: BatchRecord, due: float, settings: Settings, stream: BinaryIO
    ) -> Execution | None:
        """Make an execution that answers lines while they are validated, if all will run."""
        if settings.respond_many is None:
            return None
        lines = count_lines(stream)
        stream.seek(0)
        end = due + running_time(record.number, lines, settings)
        if lines > settings.limits.requests_per_batch or end > closing_time(record, settings):
            return None
        return self._executions.prepare(record, settings, due, array("Q"), lines)


def _summary(
    record: BatchRecord, settings: Settings, stream: BinaryIO, ahead: Execution | None
) -> InputSummary:
    limits = settings.limits
    rules = InputRules(endpoint=record.batch.endpoint, limits=limits, supports=settings.supports)
    return check_input(
        stream,
        rules,
        limits,
        count_tokens=bool(limits.enqueued_tokens),
        see=ahead.take if ahead else None,
    )


def token_limit(
    record: BatchRecord, now: float, settings: Settings, batches: Iterable[BatchRecord]
) -> int | None:
    """Return the limit of a batch's queue if its tokens do not fit in beside `batches`."""
    limit = settings.limits.enqueued_tokens.get(record.queue or "")
    if record.number < settings.faults.full_queue_batches:
        return FULL_QUEUE_TOKENS if limit is None else limit
    if limit is None:
        return None
    queued = sum(
        other.tokens
        for other in batches
        if other.queue == record.queue and (other.released is None or other.released > now)
    )
    return limit if queued + record.tokens > limit else None
