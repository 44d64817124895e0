"""The terms of an adoption: what was named when it began, kept to compare a later call with it.

A continued job finishes the batches that it has. So a call that names others, or another input,
would get results that it did not ask for: it is refused, with what differs.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from batchsim.errors import UsageError
from batchsim.jsonl import replace_file
from batchsim.runner.job import JobDirectory, fold
from batchsim.runner.journal import JournalReader
from batchsim.runner.journal.shard_entries import Origin

_TAKEN = frozenset({Origin.ADOPTED, Origin.REORDERED, Origin.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFilter:
    """The batches to adopt: by id, and all with this metadata or this input file."""

    ids: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    input_file_id: str | None = None


class Terms(NamedTuple):
    """What an adoption named: batches, and the input of the user's own (an absolute path)."""

    ids: list[str]
    metadata: dict[str, str]
    input_file_id: str | None
    source: str | None

    @classmethod
    def of(cls, wanted: BatchFilter, source: Path | None) -> "Terms":
        """Return the terms of a call."""
        path = os.path.realpath(source) if source is not None else None
        return cls(sorted(set(wanted.ids)), dict(wanted.metadata), wanted.input_file_id, path)

    def write(self, directory: JobDirectory) -> None:
        """Record the terms; the directory must be locked."""
        with replace_file(directory.terms, private=True) as stream:
            stream.write(json.dumps(self._asdict()).encode())

    def check(self, directory: JobDirectory) -> None:
        """Raise UsageError when the job in the directory was begun on other terms."""
        before = _read(directory)
        different = list(self._differences(before) if before else self._unknown_to(directory))
        if different:
            raise UsageError(
                f"the job in {directory.path} was begun with other arguments: "
                f"{'; '.join(different)}",
                hint="give the same ones to go on with it, or name another file for the results: "
                "-o RESULTS",
            )

    def _differences(self, before: "Terms") -> Iterator[str]:
        if self.ids != before.ids:
            yield f"it adopts {_words(before.ids)}, not {_words(self.ids)}"
        if self.metadata != before.metadata:
            now, then = _pairs(self.metadata), _pairs(before.metadata)
            yield f"it adopts batches with {then} metadata, not with {now}"
        if self.input_file_id != before.input_file_id:
            now, then = self.input_file_id or "none", before.input_file_id or "none"
            yield f"its input file id is {then}, not {now}"
        if (self.source is None) != (before.source is None):
            yield f"its --input is {before.source or 'none'}, not {self.source or 'none'}"

    def _unknown_to(self, directory: JobDirectory) -> Iterator[str]:
        """Compare with the journal alone: of a job of `run`, or of an earlier version."""
        with JournalReader(directory.journal) as reader:
            state = fold(reader.news())
        if state.started is None:
            return
        if not any(shard.plan.origin in _TAKEN for shard in state.shards.values()):
            yield "it adopts no batches, but runs an input"
            return
        others = [name for name in self.ids if name not in state.batch_shards]
        if others:
            yield f"it does not hold {_words(others)}"


def _read(directory: JobDirectory) -> Terms | None:
    try:
        value = orjson.loads((directory.terms).read_bytes())
        return Terms(**value)
    except (OSError, ValueError, TypeError):
        return None


def _words(names: Sequence[str]) -> str:
    return ", ".join(names) or "no batch by its id"


def _pairs(metadata: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in metadata.items()) or "no"
