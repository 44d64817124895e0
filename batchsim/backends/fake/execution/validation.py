"""What becomes of a batch in validation: it is accepted and can run, or rejected with its errors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from batchsim.backends.fake.execution.execution import Execution
from batchsim.backends.fake.execution.executions import Running
from batchsim.backends.fake.execution.next_event import closing_time, running_time
from batchsim.backends.fake.execution.read_input import Findings, check_input, count_lines
from batchsim.backends.fake.execution.settings import Behaviour
from batchsim.backends.fake.store.records import BatchRecord, Records
from batchsim.domain.batches import BatchError
from batchsim.domain.models import alias
from batchsim.domain.validation.batch_errors import (
    file_not_found,
    invalid_json_line,
    token_limit_exceeded,
)
from batchsim.domain.validation.input_file import InputRules
from batchsim.stores import Contents

FULL_QUEUE_TOKENS = 90_000
"""The limit that a full queue names when the account has none."""


class Examined(NamedTuple):
    """What is in an input, and an execution of its lines that is about to begin; None with errors."""

    findings: Findings
    execution: Execution | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The batch can run: `record` counts its tokens, `execution` is about to begin."""

    record: BatchRecord
    model: str | None
    lines: int
    execution: Execution


@dataclass(frozen=True, slots=True)
class Rejected:
    """The batch fails with `errors`."""

    record: BatchRecord
    errors: tuple[BatchError, ...]


class Validation:
    """Looks at the inputs of batches, and at the queues that these are to join."""

    def __init__(self, records: Records, running: Running) -> None:
        self._records = records
        self._running = running

    def examine(
        self, record: BatchRecord, due: float, behaviour: Behaviour, contents: Contents
    ) -> Examined:
        """What is found in the input of a batch whose validation ends at the time `due`."""
        with contents.open_content(record.batch.input_file_id) as stream:
            ahead = self._ahead(record, due, behaviour, stream)
            findings = _found(record, behaviour, stream, ahead)
        if findings.errors:
            return Examined(findings, None)
        if ahead is None or not ahead.is_whole:
            offsets, lines = findings.offsets, findings.lines
            ahead = self._running.prepare(record, behaviour, due, offsets, lines)
        ahead.work = replace(ahead.work, offsets=findings.offsets)
        return Examined(findings, ahead)

    def judge(
        self, record: BatchRecord, due: float, behaviour: Behaviour, examined: Examined
    ) -> Accepted | Rejected:
        """What becomes of a batch whose validation ends at the time `due`, its input examined."""
        findings, execution = examined
        queue = alias(findings.model) if findings.model else None
        record = replace(record, queue=queue, tokens=0 if findings.errors else findings.tokens)
        if execution is None:
            return Rejected(record, findings.errors)
        limit = token_limit(record, due, behaviour, self._records.batches.values())
        if limit is not None:
            error = token_limit_exceeded(queue or "", behaviour.organization, limit)
            return Rejected(record, (error,))
        return Accepted(record, findings.model, findings.lines, execution)

    def mishap(self, record: BatchRecord, behaviour: Behaviour) -> BatchError | None:
        """What fails the batch before its input is looked at."""
        faults, draws, number = behaviour.faults, behaviour.draws, record.number
        if draws.share("failed validation", number) < faults.failed_validation:
            return invalid_json_line(1)
        identifier = record.batch.input_file_id
        lost = draws.share("incident", number) < faults.incident
        if lost or identifier not in self._records.files:
            return file_not_found(identifier, behaviour.organization)
        return None

    def _ahead(
        self, record: BatchRecord, due: float, behaviour: Behaviour, stream: BinaryIO
    ) -> Execution | None:
        """An execution to take in the lines as they are validated, if all are sure to run."""
        if behaviour.together is None:
            return None
        lines = count_lines(stream)
        stream.seek(0)
        end = due + running_time(record.number, lines, behaviour)
        if lines > behaviour.limits.requests_per_batch or end > closing_time(record, behaviour):
            return None
        return self._running.prepare(record, behaviour, due, array("Q"), lines)


def _found(
    record: BatchRecord, behaviour: Behaviour, stream: BinaryIO, ahead: Execution | None
) -> Findings:
    limits = behaviour.limits
    rules = InputRules(endpoint=record.batch.endpoint, limits=limits, supports=behaviour.supports)
    return check_input(
        stream,
        rules,
        limits,
        count_tokens=bool(limits.enqueued_tokens),
        see=ahead.take if ahead else None,
    )


def token_limit(
    record: BatchRecord, now: float, behaviour: Behaviour, batches: Iterable[BatchRecord]
) -> int | None:
    """The limit of the batch's queue if the batch's tokens do not fit into it beside `batches`."""
    limit = behaviour.limits.enqueued_tokens.get(record.queue or "")
    if record.number < behaviour.faults.full_queue_batches:
        return FULL_QUEUE_TOKENS if limit is None else limit
    if limit is None:
        return None
    queued = sum(
        other.tokens
        for other in batches
        if other.queue == record.queue and (other.released is None or other.released > now)
    )
    return limit if queued + record.tokens > limit else None
