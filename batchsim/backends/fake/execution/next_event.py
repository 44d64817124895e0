"""The event that ends a batch's present status, and its time. Both depend on the record alone."""

import math

from batchsim.backends.fake.execution.settings import Settings
from batchsim.backends.fake.store import BatchRecord
from batchsim.domain.lifecycle import Event, Status


def next_event(record: BatchRecord, settings: Settings) -> tuple[Event, float]:
    """Return the event that ends the batch's present status, and when (infinity: never).

    For a validating batch the event is ACCEPTED, even if its input will turn out to be bad.
    """
    pacing, batch = settings.pacing, record.batch
    if batch.status.is_terminal:
        return Event.WRITTEN, math.inf
    chance = settings.draws.share(f"time {batch.status}", record.number)
    closing = closing_time(record, settings)
    cancelled = _cancelled_by_others(record, settings)
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


def closing_time(record: BatchRecord, settings: Settings) -> float:
    return (record.batch.expires_at or 0) + settings.pacing.expiry_delay


def running_time(number: int, lines: int, settings: Settings) -> float:
    """Return how many seconds the batch of that number takes to run its lines."""
    chance = settings.draws.share(f"time {Status.IN_PROGRESS}", number)
    return settings.pacing.seconds(Status.IN_PROGRESS, lines, chance)


def _cancelled_by_others(record: BatchRecord, settings: Settings) -> float | None:
    share = settings.faults.cancelled_midway
    if not share or record.batch.status is not Status.IN_PROGRESS:
        return None
    if settings.draws.share("cancelled midway", record.number) >= share:
        return None
    lines = record.batch.request_counts.total
    return record.since + running_time(record.number, lines, settings) / 2
