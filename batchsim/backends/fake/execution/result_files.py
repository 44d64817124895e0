"""Outcomes -> the output and the error file.

The output file holds the lines that ran well, the error file all others: those that ran badly with
their response, those that never ran with an error. Each line is ASCII JSON with ", " and ": "
between its parts, ended by a newline, the last one too (observed).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

import orjson

from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.execution.execution import Execution
from batchsim.backends.fake.execution.settings import Behaviour
from batchsim.backends.fake.ids import Draws, chances_in_hex, file_id, moments_in_hex
from batchsim.backends.fake.store.records import BatchRecord, FileRecord
from batchsim.domain.files import File, Purpose
from batchsim.domain.lifecycle import Status
from batchsim.stores import Contents, Draft

NEVER_RUN = {
    Status.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    Status.CANCELLED: (
        "batch_cancelled",
        "This request was not executed because the batch was cancelled.",
    ),
}
"""The error of a line that never ran, by how its batch ended (API reference, observed)."""

_BLOCK = 1 << 18
_TOGETHER = 64
"""So many lines are written in one step."""

_RESULT = b'{"id": "batch_req_%b%b", %b'


class Written(NamedTuple):
    """How large a result file became."""

    bytes: int
    lines: int


def write_results(
    store: Contents,
    record: BatchRecord,
    execution: Execution,
    behaviour: Behaviour,
    *,
    ending: Status,
    due: float,
) -> tuple[FileRecord | None, FileRecord | None]:
    """The output file and the error file of a batch, kept in `store`; None for one without lines.

    `ending` says what became of the lines that never ran, `due` is when the files are there.
    """
    order = execution.work.order
    results = Results(
        execution,
        order if behaviour.shuffled else range(len(order)),
        number=record.number,
        ending=ending,
        begin=record.since,
        end=due,
        draws=behaviour.draws,
        faults=behaviour.faults,
    )
    kinds = ("output", "error")
    output_id, error_id = (file_id(behaviour.draws, kind, record.number) for kind in kinds)
    lifetime: float = record.output_expires_after or behaviour.limits.file_lifetime
    if behaviour.faults.results_live_for is not None:
        lifetime = behaviour.faults.results_live_for

    def recorded(identifier: str, kind: str, written: Written) -> FileRecord | None:
        file = File(
            id=identifier,
            purpose=Purpose.BATCH_OUTPUT,
            filename=f"{record.batch.id}_{kind}.jsonl",
            bytes=written.bytes,
            created_at=int(due),
            expires_at=int(due + lifetime),
        )
        return FileRecord(file=file, created=due, lines=written.lines) if written.lines else None

    output, errors = results.write(store, output_id, error_id)
    return recorded(output_id, "output", output), recorded(error_id, "error", errors)


class Results:
    """Writes the two files of one batch: its lines in `sequence`, from time `begin` to `end`."""

    def __init__(
        self,
        execution: Execution,
        sequence: Sequence[int],
        *,
        number: int,
        ending: Status,
        begin: float,
        end: float,
        draws: Draws,
        faults: Faults,
    ) -> None:
        self._execution = execution
        self._sequence = sequence
        self._number = number
        self._ending = ending
        self._begin = begin
        self._pace = (end - begin) / max(1, len(sequence))
        self._draws = draws
        self._faults = faults.result_lines

    def write(self, store: Contents, output_key: str, error_key: str) -> tuple[Written, Written]:
        """Keep both files in `store` under their keys; one without lines is not kept."""
        with ExitStack() as stack:
            output = _ResultFile(stack.enter_context(store.draft()))
            errors = _ResultFile(stack.enter_context(store.draft()))
            good = self._execution.good
            for indices, lines in self._stretches():
                if 0 not in map(good.__getitem__, indices) and not self._faults:
                    output.add(lines)
                    continue
                for index, line in zip(indices, lines, strict=True):
                    if not good[index]:
                        errors.add([line])
                    elif self._faults:
                        self._add_spoilt(index, line, output, errors)
                    else:
                        output.add([line])
            return output.keep(output_key), errors.keep(error_key)

    def _stretches(self) -> Iterator[tuple[Sequence[int], list[bytes]]]:
        """The lines, each with its id, which says when it was written, and their indices."""
        count = len(self._sequence)
        begin, pace = self._begin, self._pace
        moments = moments_in_hex([begin + pace * place for place in range(1, count + 1)])
        draws = self._draws.per_line("result id", self._number, size=8)
        chances = draws.written(chances_in_hex)(0, count)
        for start in range(0, count, _TOGETHER):
            indices = self._sequence[start : start + _TOGETHER]
            outcomes = self._execution.outcomes(indices)
            if b"" in outcomes:
                outcomes = self._with_those_never_run(indices, outcomes)
            end = start + len(indices)
            columns = zip(
                [moments[at : at + 16] for at in range(16 * start, 16 * end, 16)],
                [chances[16 * index : 16 * index + 16] for index in indices],
                outcomes,
                strict=True,
            )
            yield indices, list(map(_RESULT.__mod__, columns))

    def _with_those_never_run(self, indices: Sequence[int], outcomes: list[bytes]) -> list[bytes]:
        never_run = (index for index, each in zip(indices, outcomes, strict=True) if not each)
        custom_ids = self._execution.work.custom_ids(never_run)
        return [each or self._never_run(next(custom_ids)) for each in outcomes]

    def _never_run(self, custom_id: str) -> bytes:
        code, message = NEVER_RUN[self._ending]
        return (
            f'"custom_id": {encode_basestring_ascii(custom_id)}, "response": null, '
            f'"error": {{"code": "{code}", "message": "{message}"}}}}\n'
        ).encode("ascii")

    def _add_spoilt(
        self, index: int, line: bytes, output: _ResultFile, errors: _ResultFile
    ) -> None:
        custom_id = orjson.loads(line)["custom_id"]
        hits = {
            each.fault
            for each in self._faults
            if each.hits(self._number, index + 1, custom_id, self._draws)
        }
        if "in_both" in hits:
            errors.add([line])
        if "foreign" in hits:
            output.add([_renamed(line, custom_id, f"{custom_id}-{self._number}-not-asked-for")])
        if "missing" in hits:
            return
        if "blank" in hits:
            head, _, _ = line.partition(b', "response": ')
            blank = b'{"status_code": 0, "request_id": "", "body": null}'
            line = b'%b, "response": %b, "error": null}\n' % (head, blank)
        if "cut" in hits:
            line = line[: len(line) // 2] + b"\n"
        output.add([line])
        if "doubled" in hits:
            output.add([line])


def _renamed(line: bytes, custom_id: str, other: str) -> bytes:
    old, new = (f'"custom_id": {encode_basestring_ascii(name)}, ' for name in (custom_id, other))
    return line.replace(old.encode("ascii"), new.encode("ascii"), 1)


class _ResultFile:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._bytes = 0
        self._lines = 0

    def add(self, lines: list[bytes]) -> None:
        self._waiting += lines
        self._waiting_bytes += sum(map(len, lines))
        if self._waiting_bytes >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._draft.write(b"".join(self._waiting))
        self._bytes += self._waiting_bytes
        self._lines += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def keep(self, key: str) -> Written:
        self._flush()
        if self._lines:
            self._draft.keep(key)
        return Written(self._bytes, self._lines)
