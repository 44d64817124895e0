"""Check, at a real service, the assumptions that the runner makes and no service promises.

Theory of operation. Six assumptions stand behind the rule that nothing is paid twice. They are
tried with batches of one line. Almost all of these are cancelled before they run, so the checks
cost next to nothing; the most that they can cost is told before. The batch that runs takes the
longest, so it is created first, and loses its input file once it is past validating. The others
are created one after another, searched for in the list, and cancelled. At the end every batch is
cancelled and every file deleted, whatever happens.

A1 a batch over a deleted file is refused, or fails and runs nothing.
A2 a batch that is cancelled while validating runs nothing.
A3 the list of batches shows the newest first, and a new one at once.
A4 metadata and file names come back as they were sent.
A5 headers that the service does not know are ignored.
A6 a batch needs its input file no longer once it is past validating.
"""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import RequestLine
from batchsim.errors import BatchsimError, Refused
from batchsim.pricing.cost_estimate import Estimate

ENDPOINT = "/v1/chat/completions"
POLL_SECONDS = 5.0
LONGEST_LAG = 60.0
"""Seconds after which a new batch should be in the list."""


class Verdict(StrEnum):
    HOLDS = "holds"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    """It could not be tried, or did not end in time."""


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    title: str
    verdict: Verdict
    seen: str


TITLES = {
    "A1": "a batch over a deleted file does not run",
    "A2": "a batch cancelled while validating costs nothing",
    "A3": "the list shows the newest batch first, and at once",
    "A4": "metadata and file names come back as they were sent",
    "A5": "unknown headers are ignored",
    "A6": "the input file is not needed after validating",
}


def line(model: str) -> bytes:
    """Return the one request of a trial's batch: a chat with as few tokens as possible."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    value = {"custom_id": "doctor", "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(value).encode() + b"\n"


def most_cost(model: str, creates: int) -> float | None:
    """Return the most that the trials can cost, in US dollars; None when no price is known."""
    body = json.loads(line(model))["body"]
    request = RequestLine(1, "doctor", ENDPOINT, model, body)
    demand = Estimate(ENDPOINT, model)
    for _ in range(creates + 2):
        demand.add(request)
    known = demand.cost(batch=True)
    if known is None or known.most_output is None:
        return None
    return float(known.input + known.most_output)


@dataclass(slots=True)
class Trials:
    """The trials on one backend, with `creates` batches for A2 to A5, and `patience` in seconds."""

    backend: Backend
    model: str
    creates: int
    patience: float
    tell: Callable[[str], object]
    _files: list[str] = field(default_factory=list)
    _batches: dict[str, Batch] = field(default_factory=dict)
    _count: int = 0

    def run(self) -> Iterator[Finding]:
        """Yield every finding as it is made. Raises what concerns all, such as a bad key."""
        try:
            runner = self._without_file()
            yield self._deleted_file()
            yield from self._cancelled()
            yield self._file_not_needed(runner)
        finally:
            self._clean_up()

    def _deleted_file(self) -> Finding:
        self.tell("A1: creating a batch over a file that was deleted")
        file_id = self._upload()
        self.backend.delete_file(file_id)
        self._files.remove(file_id)
        try:
            batch = self._create_over(file_id, "A1")
        except Refused as error:
            return _found("A1", Verdict.HOLDS, f"refused: {error.message}")
        batch = self._ended(batch)
        if not batch.status.is_terminal:
            return _found("A1", Verdict.UNDECIDED, f"accepted, and still {batch.status}")
        is_unpaid = batch.status is Status.FAILED and not _ran(batch)
        verdict = Verdict.HOLDS if is_unpaid else Verdict.BROKEN
        return _found("A1", verdict, f"accepted, then {batch.status}; {_amount(batch)}")

    def _cancelled(self) -> Iterator[Finding]:
        self.tell(f"A2 to A5: creating {self.creates} batches, looking for them, cancelling them")
        lags, orders, odd = [], [], []
        for _ in range(self.creates):
            name = self._next_name()
            file_id = self._upload(name)
            metadata = {"bs_doctor": "A2", "text": f"{name} äöü 日本 ✓"}
            batch = self._create_over(file_id, "A2", metadata)
            lag, is_sorted = self._list_lag(batch)
            lags.append(lag)
            orders.append(is_sorted)
            seen = self.backend.retrieve_batch(batch.id)
            filename = self.backend.retrieve_file(file_id).filename
            if dict(seen.metadata or {}) != metadata or filename != name:
                odd.append(batch.id)
            with suppress(Refused):
                self._batches[batch.id] = self.backend.cancel_batch(batch.id)
        yield self._order(lags, orders)
        verdict = Verdict.BROKEN if odd else Verdict.HOLDS
        yield _found("A4", verdict, f"{len(odd)} of {self.creates} came back changed")
        text = f"{self.creates} requests with headers of our own were taken"
        yield _found("A5", Verdict.HOLDS, text)
        yield self._unpaid()

    def _order(self, lags: list[float | None], orders: list[bool]) -> Finding:
        if None in lags:
            text = f"a batch was not in the list after {LONGEST_LAG:.0f} s"
            return _found("A3", Verdict.BROKEN, text)
        slowest = max(lag for lag in lags if lag is not None)
        if not all(orders):
            return _found("A3", Verdict.BROKEN, "the list was not sorted, the newest first")
        return _found("A3", Verdict.HOLDS, f"sorted; the slowest appeared after {slowest:.1f} s")

    def _unpaid(self) -> Finding:
        made = self._batches.values()
        cancelled = [each for each in made if (each.metadata or {}).get("bs_doctor") == "A2"]
        ended = [self._ended(each) for each in cancelled]
        open_ones = [each for each in ended if not each.status.is_terminal]
        if open_ones:
            text = f"{len(open_ones)} of {len(ended)} are still {open_ones[0].status}"
            return _found("A2", Verdict.UNDECIDED, text)
        late = [each for each in ended if each.status is not Status.CANCELLED]
        if any(_ran(each) for each in ended if each not in late):
            return _found("A2", Verdict.BROKEN, "a line ran all the same")
        if late:
            text = f"{len(late)} of {len(ended)} were past validating before they were cancelled"
            return _found("A2", Verdict.UNDECIDED, text)
        return _found("A2", Verdict.HOLDS, f"{len(ended)} were cancelled, and no line ran")

    def _without_file(self) -> Batch:
        self.tell("A6: creating a batch, and deleting its input file once it runs")
        batch = self._create_over(self._upload(), "A6")
        batch = self._until(batch, lambda seen: seen.status is not Status.VALIDATING)
        if batch.status is Status.IN_PROGRESS:
            self.backend.delete_file(batch.input_file_id)
            self._files.remove(batch.input_file_id)
        return batch

    def _file_not_needed(self, before: Batch) -> Finding:
        if before.status is not Status.IN_PROGRESS:
            return _found("A6", Verdict.UNDECIDED, f"it was never seen running: {before.status}")
        self.tell("A6: waiting for the end of the batch that runs without its file")
        batch = self._ended(before)
        if not batch.status.is_terminal:
            return _found("A6", Verdict.UNDECIDED, f"it is still {batch.status}")
        verdict = Verdict.HOLDS if batch.status is Status.COMPLETED else Verdict.BROKEN
        return _found("A6", verdict, f"without its file it {batch.status}; {_amount(batch)}")

    def _create_over(
        self, file_id: str, trial: str, metadata: dict[str, str] | None = None
    ) -> Batch:
        batch = self.backend.create_batch(
            input_file_id=file_id,
            endpoint=ENDPOINT,
            metadata=metadata or {"bs_doctor": trial},
            request_id=self._next_name(),
        )
        self._batches[batch.id] = batch
        return batch

    def _next_name(self) -> str:
        self._count += 1
        return f"bs-doctor-{self.backend.clock.now():.0f}-{self._count}.jsonl"

    def _upload(self, name: str | None = None) -> str:
        content = io.BytesIO(line(self.model))
        file = self.backend.upload_file(content, filename=name or self._next_name())
        self._files.append(file.id)
        return file.id

    def _list_lag(self, batch: Batch) -> tuple[float | None, bool]:
        """Return how long the list took to show the batch, and whether it was sorted."""
        start = self.backend.clock.now()
        while True:
            listed = self.backend.list_batches(limit=20).data
            times = [each.created_at for each in listed]
            is_sorted = times == sorted(times, reverse=True)
            passed = self.backend.clock.now() - start
            if any(each.id == batch.id for each in listed):
                return passed, is_sorted
            if passed > LONGEST_LAG:
                return None, is_sorted
            self.backend.clock.sleep(1.0)

    def _ended(self, batch: Batch) -> Batch:
        return self._until(batch, lambda seen: seen.status.is_terminal)

    def _until(self, batch: Batch, is_reached: Callable[[Batch], bool]) -> Batch:
        end = self.backend.clock.now() + self.patience
        while True:
            batch = self._batches[batch.id] = self.backend.retrieve_batch(batch.id)
            if is_reached(batch) or self.backend.clock.now() >= end:
                return batch
            self.backend.clock.sleep(POLL_SECONDS)

    def _clean_up(self) -> None:
        for identifier in self._batches:
            with suppress(BatchsimError):
                batch = self.backend.retrieve_batch(identifier)
                if not batch.status.is_terminal and batch.status is not Status.CANCELLING:
                    self.backend.cancel_batch(identifier)
                self._files += filter(None, (batch.output_file_id, batch.error_file_id))
        for file_id in self._files:
            with suppress(BatchsimError):
                self.backend.delete_file(file_id)


def _found(name: str, verdict: Verdict, seen: str) -> Finding:
    return Finding(name, TITLES[name], verdict, seen)


def _ran(batch: Batch) -> bool:
    counts = batch.request_counts
    return bool(counts.completed or counts.failed or batch.usage.total_tokens)


def _amount(batch: Batch) -> str:
    return f"{batch.request_counts.completed} lines ran, {batch.usage.total_tokens} tokens"
