"""Journal entries as JSON text, and back: what a journal stores of each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from batchsim.domain.batches import Batch, Usage
from batchsim.runner.journal.anomalies import Claim, Difference
from batchsim.runner.journal.job_entries import (
    AccountChanged,
    Audited,
    CancelRequested,
    Elected,
    Entry,
    FinishBegun,
    Finished,
    RoundPlanned,
    Skipped,
    Started,
    Tally,
)
from batchsim.runner.journal.shard_entries import (
    AnswerIntended,
    AnswerSettled,
    BatchGivenUp,
    CancelAsked,
    Collected,
    CreateAbandoned,
    Created,
    CreateFenced,
    CreateIntended,
    CreateLeft,
    CreateRefused,
    CreateSettled,
    CreateUnknown,
    Divided,
    DownloadDropped,
    Downloaded,
    FileGone,
    Observed,
    Origin,
    Planned,
    RemoteDeleted,
    Settled,
    Source,
    TwinSeen,
    UploadDropped,
    Uploaded,
    UploadIntended,
    Weighed,
)

KINDS: Mapping[str, type[Entry]] = {
    kind.__name__: kind
    for kind in (
        Started,
        AccountChanged,
        Planned,
        Weighed,
        Divided,
        Settled,
        FinishBegun,
        AnswerIntended,
        AnswerSettled,
        RemoteDeleted,
        RoundPlanned,
        Skipped,
        UploadIntended,
        Uploaded,
        UploadDropped,
        CreateIntended,
        CreateUnknown,
        CreateRefused,
        CreateFenced,
        CreateSettled,
        CreateAbandoned,
        CreateLeft,
        Created,
        TwinSeen,
        Observed,
        BatchGivenUp,
        Downloaded,
        DownloadDropped,
        FileGone,
        Collected,
        Audited,
        Elected,
        CancelRequested,
        CancelAsked,
        Finished,
    )
}
"""The durable entries by the name that the journal gives them."""


def _tally(value: dict[str, Any]) -> Tally:
    return Tally(**{**value, "usage": Usage(**value["usage"])})


def _differences(value: list[dict[str, Any]]) -> tuple[Difference, ...]:
    return tuple(Difference(**{**each, "claim": Claim(each["claim"])}) for each in value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "batch": Batch.from_object,
    "differences": _differences,
    "ranges": lambda value: array("Q", value),
    "origin": Origin,
    "source": Source,
    "usd": Decimal,
    "reserved": lambda value: None if value is None else Decimal(value),
    "strays": tuple,
    "tally": _tally,
}
"""How the fields that JSON cannot hold are read, by name."""


def _plain(value: Any) -> Any:
    if isinstance(value, array):
        return value.tolist()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Usage):
        return value._asdict()
    raise TypeError


def to_payload(entry: Entry) -> str:
    """The entry's fields as JSON text."""
    values = {name: getattr(entry, name) for name in entry.__struct_fields__}
    if "batch" in values:
        values["batch"] = values["batch"].to_object()
    return orjson.dumps(values, default=_plain).decode()


def from_payload(kind: str, payload: str) -> Entry:
    """The entry again. Raises ValueError when the kind is unknown or the payload is not its own."""
    if kind not in KINDS:
        raise ValueError(f"there is no entry of kind {kind!r}")
    try:
        values = orjson.loads(payload)
        return KINDS[kind](
            **{name: _READERS.get(name, _same)(value) for name, value in values.items()}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an entry of kind {kind!r} cannot be read: {error}") from error


def _same(value: Any) -> Any:
    return value
