"""The life of a batch, in one table.

Theory of operation. A batch is created `validating` and ends in one of four terminal statuses.
Something happens to it (an Event) and TRANSITIONS says which status follows; an event that the
present status does not list is a bug and raises. Entering a status stamps one field of the batch,
named in STAMPS, and nothing else ever writes those fields.

A window that closes while lines are still running goes through `finalizing`, because the results
of the lines that did finish are written like any others; it then ends `expired` instead of
`completed`. Cancelling takes a while (about ten minutes) even when nothing was running.

The names of the statuses are the API reference's ("The batch object"); the paths marked below as
inferred are not documented and were chosen by analogy.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from batchsim.errors import IllegalTransition


class Status(StrEnum):
    """The eight statuses of a batch (API reference)."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]


class Event(StrEnum):
    ACCEPTED = "accepted"  # the input file is valid and its tokens fit the queue
    REJECTED = "rejected"  # validation found an error; no line is run
    EXECUTED = "executed"  # every line has been run
    WINDOW_CLOSED = "window closed"  # the completion window is over before every line was run
    WRITTEN = "results written"  # the output and error files of a fully executed batch are ready
    PARTLY_WRITTEN = "partial results written"  # the files of a batch whose window closed are ready
    CANCEL_REQUESTED = "cancel requested"
    CANCEL_FINISHED = "cancel finished"


TRANSITIONS: Mapping[Status, Mapping[Event, Status]] = MappingProxyType(
    {
        Status.VALIDATING: {
            Event.ACCEPTED: Status.IN_PROGRESS,
            Event.REJECTED: Status.FAILED,
            Event.CANCEL_REQUESTED: Status.CANCELLING,
            Event.WINDOW_CLOSED: Status.EXPIRED,  # inferred: validation that never ends
        },
        Status.IN_PROGRESS: {
            Event.EXECUTED: Status.FINALIZING,
            Event.WINDOW_CLOSED: Status.FINALIZING,  # inferred
            Event.CANCEL_REQUESTED: Status.CANCELLING,
        },
        Status.FINALIZING: {
            Event.WRITTEN: Status.COMPLETED,
            Event.PARTLY_WRITTEN: Status.EXPIRED,
            Event.CANCEL_REQUESTED: Status.CANCELLING,  # inferred
        },
        Status.CANCELLING: {
            Event.CANCEL_FINISHED: Status.CANCELLED,
        },
        Status.COMPLETED: {},
        Status.FAILED: {},
        Status.EXPIRED: {},
        Status.CANCELLED: {},
    }
)

STAMPS: Mapping[Status, str] = MappingProxyType(
    {
        Status.VALIDATING: "created_at",
        Status.IN_PROGRESS: "in_progress_at",
        Status.FINALIZING: "finalizing_at",
        Status.COMPLETED: "completed_at",
        Status.FAILED: "failed_at",
        Status.EXPIRED: "expired_at",
        Status.CANCELLING: "cancelling_at",
        Status.CANCELLED: "cancelled_at",
    }
)
"""The field of the batch that is stamped, in unix seconds, when a status is entered."""

INITIAL = Status.VALIDATING


def follow(status: Status, event: Event) -> Status:
    """The status that follows `event`. Raises IllegalTransition when `status` does not list it."""
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        raise IllegalTransition(f"a batch that is {status} cannot meet '{event}'") from None
