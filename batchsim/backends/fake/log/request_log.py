"""The request log of a FakeBackend: the requests of its client, their times and their outcomes.

Theory of operation. An entry is one request, or several in a row with the same outcome. Polls of a
batch are in a row among the requests that name the batch, all other requests among all. So a day of
polling is a handful of entries. There are at most MOST_ENTRIES. The oldest are forgotten first, and
counted.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from batchsim.errors import OutcomeUnknown

MOST_ENTRIES = 10_000
LONGEST_TIMELINE = 60  # Lines. A longer timeline leaves out lines from its middle.


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request and its outcome; `times` alike in a row, from `first` to `last` (unix seconds).

    `number` counts requests from 1 and is the number of the first, `last_number` of the last.
    `call` is the method of a Backend, `subject` the id (or name) that it was about. `made` is the
    id of the object that it made, even if the client was not told. `error` names the class of the
    error. `state` is the status of the batch that was returned. For a content, `read` is the number
    of bytes handed out, `complete` says whether these were all, and `whole` whether the client is
    known to have taken them into memory in one piece.
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
        """True if the client could not know the outcome of its request."""
        return self.error == OutcomeUnknown.__name__


class RequestLog:
    """The requests of one account, oldest first. May be used from any thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now  # the time of the service, in unix seconds
        self.start = now()  # when the log began, in unix seconds
        self._entries: deque[_Slot] = deque()
        self._latest: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        self._numbers = 0
        self.forgotten = 0  # requests that were forgotten

    @property
    def count(self) -> int:
        return self._numbers

    def entries(self) -> tuple[Entry, ...]:
        with self._lock:
            return tuple(slot.entry for slot in self._entries)

    def next_number(self) -> int:
        with self._lock:
            self._numbers += 1
            return self._numbers

    def repeat(self, call: str, subject: str | None, words: str, number: int, at: float) -> bool:
        """Add a request to the row of the latest entry, or return False if it differs."""
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

    def append(self, entry: Entry) -> None:
        with self._lock:
            slot = _Slot(entry)
            self._entries.append(slot)
            if entry.subject:
                self._latest[entry.subject] = slot
            if len(self._entries) > MOST_ENTRIES:
                self._forget(self._entries.popleft())

    def timeline(self) -> str:
        """Return one line for each entry, with the seconds since the start."""
        lines = [self._line(entry) for entry in self.entries()]
        if (left_out := len(lines) - LONGEST_TIMELINE) > 0:
            half = LONGEST_TIMELINE // 2
            lines[half:-half] = [f"           ... {left_out:,} more ..."]
        return "\n".join(lines)

    def _forget(self, slot: "_Slot") -> None:
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
    """An entry that may still grow."""

    __slots__ = ("_entry", "last", "last_number", "times", "words")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.words = entry.words
        self.last, self.last_number, self.times = entry.last, entry.last_number, entry.times

    @property
    def entry(self) -> Entry:
        return replace(self._entry, last=self.last, last_number=self.last_number, times=self.times)
