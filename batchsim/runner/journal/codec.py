"""Journal entries as JSON text, and back.

Every journal of an earlier version stays readable: an entry whose class has a new name keeps its
old kind in `_KEPT_KINDS`, and a field with a new name keeps its old one by the class's `rename`.
"""

import json
from array import array
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from batchsim.domain.batches import Batch, Usage
from batchsim.domain.coercion import carried
from batchsim.runner.journal import job_entries, shard_entries
from batchsim.runner.journal.job_entries import Entry, Ranges, ShardEntry

_KEPT_KINDS: Mapping[type[Entry], str] = {
    shard_entries.CostRecorded: "Settled",
    shard_entries.AnswerRecorded: "AnswerSettled",
    shard_entries.CreateNotFound: "CreateSettled",
    shard_entries.BatchCancelRequested: "CancelAsked",
}

KINDS: Mapping[str, type[Entry]] = {
    _KEPT_KINDS.get(each, each.__name__): each
    for module in (job_entries, shard_entries)
    for each in vars(module).values()
    if isinstance(each, type)
    and issubclass(each, Entry)
    and each.durable
    and each not in (Entry, ShardEntry)
}
"""The durable entries by the name that the journal gives them."""

_NAMES = {entry: kind for kind, entry in KINDS.items()}


def kind_of(entry: Entry) -> str:
    return _NAMES[type(entry)]


def to_payload(entry: Entry) -> str:
    values = _fields(entry)
    if "batch" in values:
        values["batch"] = values["batch"].to_object()
    try:
        return orjson.dumps(values, default=_plain).decode()
    except orjson.JSONEncodeError:  # it holds text from elsewhere that UTF-8 cannot carry
        return orjson.dumps(carried(json.loads(json.dumps(values, default=_plain)))).decode()


def from_payload(kind: str, payload: str) -> Entry:
    """The entry again. Raises ValueError when the kind is unknown or the payload is not its own."""
    if kind not in KINDS:
        raise ValueError(f"there is no entry of kind {kind!r}")
    try:
        values = orjson.loads(payload)
        if "batch" in values:
            values["batch"] = Batch.from_object(values["batch"])
        if "tally" in values:
            values["tally"]["usage"] = Usage(**values["tally"]["usage"])
        return msgspec.convert(values, KINDS[kind], dec_hook=_array)
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise ValueError(f"an entry of kind {kind!r} cannot be read: {error}") from error


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {stored: getattr(value, name) for stored, name in names}


def _plain(value: Any) -> Any:
    match value:
        case array():
            return value.tolist()
        case Decimal():
            return str(value)
        case Usage():
            return value._asdict()
        case msgspec.Struct():
            return _fields(value)
    raise TypeError


def _array(_: type, value: Any) -> Ranges:
    return array("Q", value)
