"""What ends a batch's present status, and when: a function of its record and of nothing that moves."""

from __future__ import annotations

import math

from batchsim.backends.fake.execution.settings import Behaviour
from batchsim.backends.fake.store.records import BatchRecord
from batchsim.domain.lifecycle import Event, Status


def next_event(record: BatchRecord, behaviour: Behaviour) -> tuple[Event, float]:
    """What ends the batch's present status, and when (infinity: nothing does).

    For a validating batch the event is ACCEPTED, even if its input will turn out to be bad.
    """
    pacing, batch = behaviour.pacing, record.batch
    if batch.status.is_terminal:
        return Event.WRITTEN, math.inf
    chance = behaviour.draws.share(f"time {batch.status}", record.number)
    closing = closing_time(record, behaviour)
    cancelled = _cancelled_by_others(record, behaviour)
    if cancelled is not None and cancelled <= closing:
        return Event.CANCEL_REQUESTED, cancelled
    end = record.since + pacing.seconds(batch.status, batch.request_counts.total, chance)
    if batch.status is Status.CANCELLING:
        return Event.CANCEL_FINISHED, end
    if batch.status is Status.FINALIZING:
        whole = record.ran == batch.request_counts.total
        return Event.WRITTEN if whole else Event.PARTLY_WRITTEN, end
    if end > closing:
        return Event.WINDOW_CLOSED, closing
    return Event.ACCEPTED if batch.status is Status.VALIDATING else Event.EXECUTED, end


def closing_time(record: BatchRecord, behaviour: Behaviour) -> float:
    """When the window of a batch closes."""
    return (record.batch.expires_at or 0) + behaviour.pacing.expiry_delay


def _cancelled_by_others(record: BatchRecord, behaviour: Behaviour) -> float | None:
    share = behaviour.faults.cancelled_midway
    if not share or record.batch.status is not Status.IN_PROGRESS:
        return None
    if behaviour.draws.share("cancelled midway", record.number) >= share:
        return None
    lines = record.batch.request_counts.total
    return record.since + running_time(record.number, lines, behaviour) / 2


def running_time(number: int, lines: int, behaviour: Behaviour) -> float:
    """How many seconds the batch of that number takes to run its lines."""
    chance = behaviour.draws.share(f"time {Status.IN_PROGRESS}", number)
    return behaviour.pacing.seconds(Status.IN_PROGRESS, lines, chance)
