"""What was asked of a simulated account, and what came of it, as a timeline for people."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from batchsim.backends import Page
from batchsim.backends.fake import FakeBackend
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.errors import BatchsimError
from batchsim.responders import Answer

CALLS = (
    "upload_file",
    "retrieve_file",
    "list_files",
    "delete_file",
    "read_file",
    "create_batch",
    "retrieve_batch",
    "cancel_batch",
    "list_batches",
    "answer",
)
"""The methods of a Backend, and the one of Answers that is a request of its own."""

NAMING = ("filename", "input_file_id", "file_id", "batch_id", "url", "endpoint")
"""The arguments that a timeline shows."""

LONGEST_TIMELINE = 60
"""Lines: from the middle of a longer one some are left out."""

Listener = Callable[[Any], None]


class Entry(NamedTuple):
    """A call and its outcome, in words; `times` in a row, from `first` to `last` (unix seconds)."""

    words: str
    first: float
    last: float
    times: int


class History:
    """The calls of a FakeBackend from now on. Calls past its attributes are not seen.

    `before` and `after` are told of a call by its name, with its first argument before it and
    its value after it has succeeded.
    """

    def __init__(
        self, backend: FakeBackend, *, before: dict[str, Listener], after: dict[str, Listener]
    ) -> None:
        self._backend = backend
        self._start = backend.clock.now()
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        for name in CALLS:
            method = getattr(backend, name)
            setattr(backend, name, self._observed(method, before.get(name), after.get(name)))

    def timeline(self) -> str:
        """One line for each entry, with the seconds since the start."""
        with self._lock:
            lines = [self._line(entry) for entry in self._entries]
        if (left_out := len(lines) - LONGEST_TIMELINE) > 0:
            half = LONGEST_TIMELINE // 2
            lines[half:-half] = [f"           ... {left_out:,} more ..."]
        return "\n".join(lines)

    def _observed(
        self, method: Callable[..., Any], before: Listener | None, after: Listener | None
    ) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            request = _request(method.__name__, arguments, options)
            if before is not None:
                before([*arguments, *options.values()][0])
            try:
                value = method(*arguments, **options)
            except BatchsimError as error:
                self._note(request, f"{_kind(error)}: {error.message}")
                raise
            if isinstance(value, Iterator):
                return self._read(request, value)
            self._note(request, _described(value, request))
            if after is not None:
                after(value)
            return value

        return call

    def _read(self, request: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            first = next(pieces, b"")
            self._note(request, "its content")
            yield first
            yield from pieces
        except BatchsimError as error:
            self._note(request, f"{_kind(error)}: {error.message}")
            raise

    def _note(self, request: str, outcome: str) -> None:
        words = f"{request} -> {outcome}"
        now = self._backend.clock.now()
        with self._lock:
            last = self._entries[-1] if self._entries else None
            if last is not None and last.words == words:
                self._entries[-1] = last._replace(last=now, times=last.times + 1)
            else:
                self._entries.append(Entry(words, now, now, 1))

    def _line(self, entry: Entry) -> str:
        line = f"{entry.first - self._start:8,.0f} s  {entry.words}"
        if entry.times > 1:
            line += f" ({entry.times:,} times, until {entry.last - self._start:,.0f} s)"
        return line


def _kind(error: BatchsimError) -> str:
    status = getattr(error, "status", None)
    return type(error).__name__ if status is None else f"refused with {status}"


def _request(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    named = [options[key] for key in NAMING if key in options]
    return " ".join([name, *(each for each in (*arguments, *named) if isinstance(each, str))])


def _described(value: Any, request: str) -> str:
    match value:
        case File():
            words = f"{value.bytes:,} bytes"
        case Batch():
            counts = value.request_counts
            done = f", {counts.completed + counts.failed} of {counts.total} lines done"
            words = str(value.status) + (done if counts.total else "")
        case Page():
            return f"{len(value.data)} listed"
        case Answer():
            return f"status {value.status_code}"
        case _:
            return "done"
    return words if value.id in request else f"{value.id}, {words}"
