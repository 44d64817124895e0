"""Batch: a batch as the API describes it, and the values inside it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import add
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from batchsim.domain.coercion import carried, count, integer, message, text, timestamp
from batchsim.domain.lifecycle import STAMPS, Event, Status, follow


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """The number of lines of a batch, and of those that ran well or badly.

    Lines that were never run (expired, cancelled) are in neither `completed` nor `failed`, so
    the two may add up to less than `total` (observed).
    """

    total: int = 0
    completed: int = 0
    failed: int = 0


class Usage(NamedTuple):
    """Tokens, summed over the lines that ran well. Two of them can be added."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":  # type: ignore[override] # no chain of tuples
        return Usage(*map(add, self, other))

    def to_object(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }

    @classmethod
    def from_object(cls, value: Any) -> "Usage":
        """Read the `usage` of a batch or of an answer; zeros where its shape is not known.

        Chat completions, completions and embeddings count `prompt_tokens` and `completion_tokens`,
        all others `input_tokens` and `output_tokens`.
        """
        if not isinstance(value, dict):
            return _NO_USAGE
        if "prompt_tokens" in value:
            read, written = "prompt_tokens", "completion_tokens"
        else:
            read, written = "input_tokens", "output_tokens"
        of_read, of_written = value.get(f"{read}_details"), value.get(f"{written}_details")
        return cls(
            count(value.get(read)),
            count(value.get(written)),
            count(of_read.get("cached_tokens")) if isinstance(of_read, dict) else 0,
            count(of_written.get("reasoning_tokens")) if isinstance(of_written, dict) else 0,
        )


_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class BatchError:
    """One reason of a failed validation. `line` counts from 1; None means the file as a whole."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


SPELLINGS: Mapping[str, Status] = MappingProxyType(
    {
        "queued": Status.VALIDATING,
        "in_queue": Status.VALIDATING,
        "running": Status.IN_PROGRESS,
        "progress": Status.IN_PROGRESS,
        "success": Status.COMPLETED,
        "succeeded": Status.COMPLETED,
        "timeout_exceeded": Status.EXPIRED,
        "cancellation_requested": Status.CANCELLING,
        "canceled": Status.CANCELLED,
        "canceling": Status.CANCELLING,
    }
)
"""Other names of the statuses at compatible services, in lower case (observed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch (API reference, "The batch object"). All times are unix seconds.

    `model` is null until validation ends, then the dated snapshot that the model's name stands for.
    The file ids are null until a terminal status; a batch in which no line ran well has no output
    file, one in which every line ran well has no error file (observed). `unknown_status` holds
    a status that this version does not know, as the service spelt it; such a batch counts as live.
    """

    id: str
    endpoint: str
    input_file_id: str
    created_at: int
    expires_at: int | None
    status: Status = Status.VALIDATING
    model: str | None = None
    errors: tuple[BatchError, ...] = ()
    completion_window: str = "24h"
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()
    usage: Usage = _NO_USAGE
    metadata: Mapping[str, str] | None = None
    unknown_status: str | None = None

    def after(self, event: Event, at: int, **changes: Any) -> Self:
        """The batch after `event` at the time `at`: the new status, its stamp, and `changes`.

        Raises IllegalTransition when the present status does not allow the event.
        """
        status = follow(self.status, event)
        stamped: dict[str, Any] = {STAMPS[status]: at, **changes}
        return replace(self, status=status, **stamped)

    def to_object(self) -> dict[str, Any]:
        """The API's JSON object, keys in the order of the wire (observed, 2026)."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": _errors_object(self.errors),
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.unknown_status or str(self.status),
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            "in_progress_at": self.in_progress_at,
            "expires_at": self.expires_at,
            "finalizing_at": self.finalizing_at,
            "completed_at": self.completed_at,
            "failed_at": self.failed_at,
            "expired_at": self.expired_at,
            "cancelling_at": self.cancelling_at,
            "cancelled_at": self.cancelled_at,
            "request_counts": {
                "total": self.request_counts.total,
                "completed": self.request_counts.completed,
                "failed": self.request_counts.failed,
            },
            "usage": self.usage.to_object(),
            "metadata": None if self.metadata is None else dict(self.metadata),
        }

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> Self:
        """Read a batch object as OpenAI or a compatible service sends it; extra keys are ignored.

        Raises ValueError when `value` is not a batch object: it has no id or no status.
        """
        identifier, spelling = text(value.get("id")), text(value.get("status"))
        if identifier is None or spelling is None:
            raise ValueError("the answer is not a batch object: it lacks an id or a status")
        status = _status(spelling)
        metadata = value.get("metadata")
        return cls(
            id=identifier,
            endpoint=text(value.get("endpoint")) or "",
            input_file_id=text(value.get("input_file_id")) or "",
            created_at=timestamp(value.get("created_at")) or 0,
            expires_at=timestamp(value.get("expires_at")),
            status=status or Status.IN_PROGRESS,
            unknown_status=None if status else spelling,
            model=text(value.get("model")),
            errors=_errors(value.get("errors")),
            completion_window=text(value.get("completion_window")) or "24h",
            output_file_id=text(value.get("output_file_id")),
            error_file_id=text(value.get("error_file_id")),
            request_counts=_request_counts(value.get("request_counts")),
            usage=Usage.from_object(value.get("usage")),
            metadata=carried(dict(metadata)) if isinstance(metadata, Mapping) else None,
            **{
                stamp: timestamp(value.get(stamp))
                for stamp in STAMPS.values()
                if stamp != "created_at"
            },
        )


def _status(spelling: str) -> Status | None:
    lowered = spelling.lower()
    if lowered in SPELLINGS:
        return SPELLINGS[lowered]
    try:
        return Status(lowered)
    except ValueError:
        return None


def _errors_object(errors: tuple[BatchError, ...]) -> dict[str, Any] | None:
    if not errors:
        return None
    data = [
        {"code": each.code, "message": each.message, "param": each.param, "line": each.line}
        for each in errors
    ]
    return {"object": "list", "data": data}


def _errors(value: Any) -> tuple[BatchError, ...]:
    entries = value.get("data") if isinstance(value, Mapping) else value
    if not isinstance(entries, list):
        return ()
    return tuple(
        BatchError(
            code=text(entry.get("code")) or "unknown",
            message=message(entry.get("message")),
            param=text(entry.get("param")),
            line=integer(entry.get("line")),
        )
        for entry in entries
        if isinstance(entry, Mapping)
    )


def _request_counts(value: Any) -> RequestCounts:
    if not isinstance(value, Mapping):
        return RequestCounts()
    return RequestCounts(
        count(value.get("total")), count(value.get("completed")), count(value.get("failed"))
    )
