"""The request journal: what a client asked of a FakeBackend, when, and what came of it.

Theory of operation. Every public method of the simulator is decorated, so that a request is noted
whatever door it came through: a call in the process, a transport, a port. An entry is one request,
or several in a row that were told the same: for looks at a batch, in a row among the requests that
name it; for all others, in a row among all. So a day of polling is a handful of entries. There are at most
MOST_ENTRIES; the oldest are forgotten first, and counted.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from batchsim.backends import Page
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.errors import BatchsimError, OutcomeUnknown
from batchsim.responders import Answer

MOST_ENTRIES = 10_000

NAMING = ("filename", "input_file_id", "file_id", "batch_id", "url", "endpoint")
"""The arguments that the words of an entry show."""

LONGEST_TIMELINE = 60
"""Lines: from the middle of a longer one some are left out."""

LONGEST_WORDS = 500

taken_whole: ContextVar[bool] = ContextVar("batchsim_taken_whole", default=False)
"""Set by a door while it hands out a content to a client that takes it into memory in one piece."""

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request and its outcome; `times` alike in a row, from `first` to `last` (unix seconds).

    `number` counts requests from 1 and is that of the first, `last_number` of the last. `call` is
    the method of a Backend, `subject` the id (or name) that it was about, `made` the id of what it
    made, also when the client was not told so. `error` names the class of what was raised.
    `state` is the status of the batch that was shown. For a content, `read` says how many bytes
    were handed out, `complete` whether these were all, `whole` whether the client is known to have
    taken them into memory in one piece.
    """

    number: int
    last_number: int
    call: str
    words: str
    first: float
    last: float
    times: int = 1
    subject: str | None = None
    made: str | None = None
    error: str | None = None
    status: int | None = None
    retry_after: float | None = None
    state: str | None = None
    read: int = 0
    complete: bool = False
    whole: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether the client could not know what became of its request."""
        return self.error == OutcomeUnknown.__name__


class Journalled(Protocol):
    """Who has a request journal."""

    requests: RequestJournal


Owner = TypeVar("Owner", bound=Journalled)


class RequestJournal:
    """The requests of one account, oldest first. May be used from any thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        """The time of the service, in unix seconds."""
        self.start = now()
        """When the journal began, in unix seconds."""
        self._entries: deque[_Slot] = deque()
        self._latest: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        self._numbers = 0
        self.forgotten = 0
        """How many requests were forgotten."""

    @property
    def count(self) -> int:
        """How many requests there were."""
        return self._numbers

    def entries(self) -> tuple[Entry, ...]:
        """All entries that are still known, in the order of their first request."""
        with self._lock:
            return tuple(slot.entry for slot in self._entries)

    def number(self) -> int:
        """The number of a request that has come."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def repeat(self, call: str, subject: str | None, words: str, number: int, at: float) -> bool:
        """Take in a request if it is one more of a row; whether it was."""
        with self._lock:
            if call == "retrieve_batch":
                slot = self._latest.get(subject or "")
            else:
                slot = self._entries[-1] if self._entries else None
            if slot is None or slot.words != words:
                return False
            slot.times += 1
            slot.last, slot.last_number = at, number
            return True

    def note(self, entry: Entry) -> None:
        """Take in a request that begins a row."""
        with self._lock:
            slot = _Slot(entry)
            self._entries.append(slot)
            if entry.subject:
                self._latest[entry.subject] = slot
            if len(self._entries) > MOST_ENTRIES:
                self._forget(self._entries.popleft())

    def timeline(self) -> str:
        """One line for each entry, with the seconds since the start."""
        lines = [self._line(entry) for entry in self.entries()]
        if (left_out := len(lines) - LONGEST_TIMELINE) > 0:
            half = LONGEST_TIMELINE // 2
            lines[half:-half] = [f"           ... {left_out:,} more ..."]
        return "\n".join(lines)

    def _forget(self, slot: _Slot) -> None:
        entry = slot.entry
        self.forgotten += entry.times
        subject = entry.subject
        if subject and self._latest.get(subject) is slot:
            del self._latest[subject]

    def _line(self, entry: Entry) -> str:
        line = f"{entry.first - self.start:8,.0f} s  {entry.words}"
        if entry.times > 1:
            line += f" ({entry.times:,} times, until {entry.last - self.start:,.0f} s)"
        return line


class _Slot:
    """The place of an entry that may still grow."""

    __slots__ = ("_entry", "last", "last_number", "times", "words")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.words = entry.words
        self.last, self.last_number, self.times = entry.last, entry.last_number, entry.times

    @property
    def entry(self) -> Entry:
        return replace(self._entry, last=self.last, last_number=self.last_number, times=self.times)


def noted(
    method: Callable[Concatenate[Owner, Parameters], Value],
) -> Callable[Concatenate[Owner, Parameters], Value]:
    """Have a method's calls noted in the journal of its object."""
    name = method.__name__

    @functools.wraps(method)
    def call(self: Owner, /, *arguments: Parameters.args, **options: Parameters.kwargs) -> Value:
        note = _Note(self, name, arguments, options)
        try:
            value = method(self, *arguments, **options)
        except BatchsimError as error:
            note.refused(error)
            raise
        note.answered(value)
        return value

    return call


def noted_reading(
    method: Callable[Concatenate[Owner, Parameters], Iterator[bytes]],
) -> Callable[Concatenate[Owner, Parameters], Iterator[bytes]]:
    """The same for a method that is a generator of a content's pieces."""
    name = method.__name__

    @functools.wraps(method)
    def call(
        self: Owner, /, *arguments: Parameters.args, **options: Parameters.kwargs
    ) -> Iterator[bytes]:
        note = _Note(self, name, arguments, options)
        read, whole, complete = 0, False, False
        try:
            for piece in method(self, *arguments, **options):
                read += len(piece)
                yield piece
                whole = whole or taken_whole.get()
            complete = True
        except BatchsimError as error:
            note.refused(error, read=read)
            raise
        finally:
            if complete:
                note.add("its content", read=read, complete=True, whole=whole or taken_whole.get())
            elif not note.is_done:
                note.add(f"left after {read:,} bytes", read=read)

    return call


class _Note:
    """A request that waits for its outcome."""

    def __init__(
        self, owner: Journalled, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._journal = owner.requests
        self._call = name
        self._number = owner.requests.number()
        self._at = owner.requests.now()
        texts = [each for each in arguments if isinstance(each, str)]
        texts += [options[key] for key in NAMING if isinstance(options.get(key), str)]
        self._subject = texts[0] if texts else None
        self._request = " ".join([name, *texts])
        self.is_done = False

    def answered(self, value: Any) -> None:
        makes = self._call in ("upload_file", "create_batch")
        self.add(
            _described(value, self._request),
            made=value.id if makes else None,
            state=str(value.status) if isinstance(value, Batch) else None,
        )

    def refused(self, error: BatchsimError, **facts: Any) -> None:
        self.add(
            f"{_kind(error)}: {error.message}",
            error=type(error).__name__,
            status=getattr(error, "status", None),
            retry_after=getattr(error, "retry_after", None),
            **facts,
        )

    def add(self, outcome: str, **facts: Any) -> None:
        self.is_done = True
        words = _plain(f"{self._request} -> {outcome}")
        again = (self._call, self._subject, words, self._number, self._at)
        if not facts.get("whole") and self._journal.repeat(*again):
            return
        self._journal.note(
            Entry(
                number=self._number,
                last_number=self._number,
                call=self._call,
                words=words,
                first=self._at,
                last=self._at,
                subject=self._subject,
                **facts,
            )
        )


def _plain(words: str) -> str:
    """Words that fit a line of a terminal, whatever a client called its files."""
    if len(words) > LONGEST_WORDS:
        words = f"{words[:LONGEST_WORDS]}..."
    return words if words.isprintable() else words.encode("unicode_escape").decode("ascii")


def _kind(error: BatchsimError) -> str:
    status = getattr(error, "status", None)
    return type(error).__name__ if status is None else f"refused with {status}"


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
