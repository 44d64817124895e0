"""What ends a batch's present status, and when: a function of its record and of nothing that moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from batchsim.backends.fake.faults import Faults
from batchsim.backends.fake.ids import Draws
from batchsim.backends.fake.pacing import Pacing
from batchsim.backends.fake.records import BatchRecord
from batchsim.domain.lifecycle import Event, Status
from batchsim.domain.limits import Limits
from batchsim.responders import Responder


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """All that decides how batches go, besides their inputs."""

    draws: Draws
    pacing: Pacing
    faults: Faults
    limits: Limits
    respond: Responder
    may_ask_early: bool
    """Whether `respond` may be asked about lines before they finish: nobody can tell, and it is quicker."""
    supports: Callable[[str], bool]
    shuffled: bool
    organization: str
    project: str


def next_event(record: BatchRecord, behaviour: Behaviour) -> tuple[Event, float]:
    """What ends the batch's present status, and when (infinity: nothing does).

    For a validating batch the event is ACCEPTED, even if its input will turn out to be bad.
    """
    pacing, batch = behaviour.pacing, record.batch
    if batch.status.is_terminal:
        return Event.WRITTEN, math.inf
    chance = behaviour.draws.share(f"time {batch.status}", record.number)
    end = record.since + pacing.seconds(batch.status, batch.request_counts.total, chance)
    if batch.status is Status.CANCELLING:
        return Event.CANCEL_FINISHED, end
    if batch.status is Status.FINALIZING:
        whole = record.ran == batch.request_counts.total
        return Event.WRITTEN if whole else Event.PARTLY_WRITTEN, end
    closing = closing_time(record, behaviour)
    if end > closing:
        return Event.WINDOW_CLOSED, closing
    return Event.ACCEPTED if batch.status is Status.VALIDATING else Event.EXECUTED, end


def closing_time(record: BatchRecord, behaviour: Behaviour) -> float:
    """When the window of a batch closes."""
    return (record.batch.expires_at or 0) + behaviour.pacing.expiry_delay


def running_time(number: int, lines: int, behaviour: Behaviour) -> float:
    """How many seconds the batch of that number takes to run its lines."""
    chance = behaviour.draws.share(f"time {Status.IN_PROGRESS}", number)
    return behaviour.pacing.seconds(Status.IN_PROGRESS, lines, chance)
