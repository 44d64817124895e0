"""The result files of a batch: outcomes -> the output file and the error file.

The output file holds the good lines, the error file all others: failed lines with their response,
and lines that never ran with an error. Each line is ASCII JSON with ", " and ": "
between its parts, ended by a newline, the last one too (observed).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

import orjson

from batchsim.backends.fake.execution.execution import Execution
from batchsim.backends.fake.execution.settings import Settings
from batchsim.backends.fake.ids import chances_in_hex, file_id, moments_in_hex
from batchsim.backends.fake.store import BatchRecord, FileRecord
from batchsim.domain.files import File, Purpose
from batchsim.domain.lifecycle import Status
from batchsim.stores import Contents, Draft

NEVER_RUN = {  # by how the batch ended (API reference, observed)
    Status.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    Status.CANCELLED: (
        "batch_cancelled",
        "This request was not executed because the batch was cancelled.",
    ),
}

_BLOCK = 1 << 18
_STEP = 64

_RESULT = b'{"id": "batch_req_%b%b", %b'


def write_results(
    store: Contents,
    record: BatchRecord,
    execution: Execution,
    settings: Settings,
    *,
    ending: Status,
    due: float,
) -> tuple[FileRecord | None, FileRecord | None]:
    """Write the output file and the error file of a batch; None for one without lines.

    `ending` decides the error of the lines that never ran. `due` is the time of both files.
    """
    writer = ResultWriter(record, execution, settings, ending=ending, due=due)
    output_id, error_id = (
        file_id(settings.draws, kind, record.number) for kind in ("output", "error")
    )
    lifetime: float = record.output_expires_after or settings.limits.file_lifetime
    if settings.faults.results_live_for is not None:
        lifetime = settings.faults.results_live_for

    def recorded(identifier: str, kind: str, written: FileSize) -> FileRecord | None:
        file = File(
            id=identifier,
            purpose=Purpose.BATCH_OUTPUT,
            filename=f"{record.batch.id}_{kind}.jsonl",
            bytes=written.bytes,
            created_at=int(due),
            expires_at=int(due + lifetime),
        )
        return FileRecord(file=file, created=due, lines=written.lines) if written.lines else None

    output, errors = writer.write(store, output_id, error_id)
    return recorded(output_id, "output", output), recorded(error_id, "error", errors)


class FileSize(NamedTuple):
    bytes: int
    lines: int


class ResultWriter:
    """Writes the two files of one batch, at even intervals from the batch's last event to `due`."""

    def __init__(
        self,
        record: BatchRecord,
        execution: Execution,
        settings: Settings,
        *,
        ending: Status,
        due: float,
    ) -> None:
        order = execution.workload.order
        self._execution = execution
        self._sequence = order if settings.shuffled else range(len(order))
        self._number = record.number
        self._ending = ending
        self._begin = record.since
        self._interval = (due - record.since) / max(1, len(order))
        self._draws = settings.draws
        self._faults = settings.faults.result_lines

    def write(self, store: Contents, output_key: str, error_key: str) -> tuple[FileSize, FileSize]:
        """Keep both files in `store` under their keys, but not one without lines."""
        with ExitStack() as stack:
            output = _ResultFile(stack.enter_context(store.draft()))
            errors = _ResultFile(stack.enter_context(store.draft()))
            good = self._execution.good
            for indices, lines in self._steps():
                if 0 not in map(good.__getitem__, indices) and not self._faults:
                    output.add(lines)
                    continue
                for index, line in zip(indices, lines, strict=True):
                    if not good[index]:
                        errors.add([line])
                    elif self._faults:
                        self._add_with_faults(index, line, output, errors)
                    else:
                        output.add([line])
            return output.keep(output_key), errors.keep(error_key)

    def _steps(self) -> Iterator[tuple[Sequence[int], list[bytes]]]:
        """Yield the indices of some lines, and the lines. The id of each holds its time."""
        count = len(self._sequence)
        begin, interval = self._begin, self._interval
        moments = moments_in_hex([begin + interval * place for place in range(1, count + 1)])
        draws = self._draws.per_line("result id", self._number, size=8)
        chances = draws.written(chances_in_hex)(0, count)
        for start in range(0, count, _STEP):
            indices = self._sequence[start : start + _STEP]
            outcomes = self._execution.outcomes(indices)
            if b"" in outcomes:
                outcomes = self._with_never_run(indices, outcomes)
            end = start + len(indices)
            columns = zip(
                [moments[at : at + 16] for at in range(16 * start, 16 * end, 16)],
                [chances[16 * index : 16 * index + 16] for index in indices],
                outcomes,
                strict=True,
            )
            yield indices, list(map(_RESULT.__mod__, columns))

    def _with_never_run(self, indices: Sequence[int], outcomes: list[bytes]) -> list[bytes]:
        never_run = (index for index, each in zip(indices, outcomes, strict=True) if not each)
        custom_ids = self._execution.workload.custom_ids(never_run)
        return [each or self._never_run(next(custom_ids)) for each in outcomes]

    def _never_run(self, custom_id: str) -> bytes:
        code, message = NEVER_RUN[self._ending]
        return (
            f'"custom_id": {encode_basestring_ascii(custom_id)}, "response": null, '
            f'"error": {{"code": "{code}", "message": "{message}"}}}}\n'
        ).encode("ascii")

    def _add_with_faults(
        self, index: int, line: bytes, output: "_ResultFile", errors: "_ResultFile"
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

    def keep(self, key: str) -> FileSize:
        self._flush()
        if self._lines:
            self._draft.keep(key)
        return FileSize(self._bytes, self._lines)
