"""What is left when a deadline nears, asked for one by one at the ordinary price.

Theory of operation. Only if the policy says so. First nothing more is sent in batches, and batches
under way are cancelled, which keeps what has run. Then the lines that are left become shards of a
last round without batches. For each of their lines the intent goes to the journal, with what the
answer may cost at most; then the request leaves; then the answer goes to the disk, in the shape of
a result line; then the journal learns what it cost. A process that continues such a shard asks only
for lines that the journal does not name. A line that it names and that has no answer may have been
paid for: it gets a record that says so, is not asked again, and its reservation stays.

Under a cap on cost a line whose reservation does not fit waits until others are settled. What still
does not fit then is not sent, and stops its shard with the reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Self, cast

import orjson

from batchsim.backends import Answers, Backend
from batchsim.domain.lines import LineError, ResultLine
from batchsim.errors import (
    BatchsimError,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    UsageError,
)
from batchsim.jsonl import Line, read_lines
from batchsim.responders import Answer
from batchsim.runner import settle
from batchsim.runner.content import ShardContent
from batchsim.runner.entries import Entry
from batchsim.runner.outcomes import is_passing_answer
from batchsim.runner.policy import Policy
from batchsim.runner.records import record
from batchsim.runner.result_lines import read_result
from batchsim.runner.shard_entries import AnswerIntended, AnswerSettled, Blocked, Downloaded, Source
from batchsim.runner.shard_state import ShardState
from batchsim.runner.spending import account, dollars, most_alone, paid_alone
from batchsim.runner.weighing import bounds, read_request
from batchsim.runner.workplace import Workplace

_UNKNOWN = LineError(
    "outcome_unknown",
    "This request was sent outside a batch and no answer is known. It may have been paid for.",
)

_DEARER = frozenset({"priority"})
"""The `service_tier` that costs more than the ordinary price (API reference); batches have none."""


def check_policy(backend: Backend, policy: Policy) -> None:
    """Raises UsageError when the job could not be finished as its policy says."""
    if policy.finish_sync and not callable(getattr(backend, "answer", None)):
        raise UsageError(
            "this backend answers no single requests, so nothing can be finished without a batch",
            hint="leave out --finish-sync",
        )


def answer_lines(work: Workplace, number: int, shard: ShardState) -> Iterator[Entry]:
    """Ask for the lines of a shard that have not been asked for, and collect the shard.

    Where the cap on cost leaves lines out, the shard is stopped instead.
    """
    with ShardContent(work.source, shard.plan) as content:
        lines = [_questioned(work, shard, line) for line in read_lines(content.buffered())]
    path = work.directory.file(number, Source.OUTPUT)
    with _Answers(path) as answers:
        yield from _settle_late(work, number, lines, answers)
        if work.state.cancelled_at is None:
            asked = work.state.shards[number].asked
            todo = [
                line
                for line in lines
                if line.position not in asked and line.custom_id not in answers.found
            ]
            asking = _Asking(work, number, todo, answers)
            yield from asking.go_through()
            if asking.short:
                yield Blocked(shard=number, reason=_shortage(work, asking.short))
                return
        for position in sorted(work.state.shards[number].asked):
            custom_id = lines[position].custom_id
            if custom_id not in answers.found:
                answers.keep(custom_id, record(custom_id, _UNKNOWN))
    content_bytes = path.read_bytes()
    yield Downloaded(
        shard=number,
        source=Source.OUTPUT,
        file_id="",
        bytes=len(content_bytes),
        sha256=hashlib.sha256(content_bytes).hexdigest(),
    )
    yield from settle.gather(work, number, work.state.shards[number])


@dataclass(frozen=True, slots=True)
class _Question:
    """A line to be asked for: the most that its answer can cost (None: not known), and its tries.

    It is not asked for before `due` (unix seconds). `last` is the passing refusal that it met.
    """

    position: int
    custom_id: str
    content: bytes
    most: Decimal | None
    attempt: int = 1
    due: float = 0.0
    last: Answer | None = None


def _questioned(work: Workplace, shard: ShardState, line: Line) -> _Question:
    request = read_request(line, work.source)
    most = None
    if request.body.get("service_tier") not in _DEARER:
        most = most_alone(shard.plan, bounds(line.content, request))
    return _Question(line.number - 1, request.custom_id, line.content, most)


def _settle_late(
    work: Workplace, number: int, lines: list[_Question], answers: _Answers
) -> Iterator[Entry]:
    """Settle what was answered before another process ended, and not settled by it."""
    shard = work.state.shards[number]
    for position, reserved in sorted(shard.asked.items()):
        answer = answers.found.get(lines[position].custom_id)
        usd = paid_alone(shard.plan, answer) if answer is not None else None
        if reserved is not None and usd is not None:
            yield AnswerSettled(shard=number, position=position, usd=usd)


def _shortage(work: Workplace, lines: list[_Question]) -> str:
    cap = work.policy.max_cost or Decimal(0)
    left = max(account(work.state).left(cap), Decimal(0))
    unknown = [line.custom_id for line in lines if line.most is None]
    if unknown:
        return (
            f"{len(unknown):,} lines are not sent without a batch, such as {unknown[0]!r}: what "
            "they may cost is not bounded"
        )
    least = min(line.most for line in lines if line.most is not None)
    return (
        f"{len(lines):,} lines are not sent without a batch: each may cost {dollars(least)} or more "
        f"at the ordinary price, and of the cap of {dollars(cap)} {dollars(left)} is left"
    )


class _Asking:
    """Asks for lines, so many at once, again while that is safe and may help.

    This thread alone decides and tells the journal; the workers ask, and keep what they are told.
    `short` are the lines for which the cap leaves no room.
    """

    def __init__(
        self, work: Workplace, number: int, lines: list[_Question], answers: _Answers
    ) -> None:
        self._work = work
        self._clock = work.backend.clock
        self._number = number
        self._plan = work.state.shards[number].plan
        self._waiting = deque(lines)
        self._under_way: dict[Future[Answer | None], _Question] = {}
        self._answers = answers
        self.short: list[_Question] = []

    def go_through(self) -> Iterator[Entry]:
        """Until every line has its answer, or finds no room."""
        executor = ThreadPoolExecutor(self._work.policy.sync_parallel)
        try:
            while self._waiting or self._under_way:
                yield from self._begin(executor)
                yield from self._take()
        finally:
            executor.shutdown(cancel_futures=True)

    def _begin(self, executor: ThreadPoolExecutor) -> Iterator[Entry]:
        now = self._clock.now()
        for _ in range(len(self._waiting)):
            if len(self._under_way) >= self._work.policy.sync_parallel:
                return
            line = self._waiting.popleft()
            if line.due > now:
                self._waiting.append(line)
            elif self._fits(line):
                yield AnswerIntended(shard=self._number, position=line.position, reserved=line.most)
                self._under_way[executor.submit(self._ask, line)] = line
            elif line.last is not None:
                self._keep(line, line.last)
            else:
                self.short.append(line)

    def _take(self) -> Iterator[Entry]:
        """Wait for answers, or for lines to fall due."""
        if not self._under_way:
            if self._waiting:
                due = min(line.due for line in self._waiting)
                self._clock.sleep(max(0.0, due - self._clock.now()))
            return
        pause = _GLANCE if self._waiting else None
        for future in wait(self._under_way, pause, FIRST_COMPLETED).done:
            line = self._under_way.pop(future)
            answer = future.result()
            if answer is not None:  # else it stays reserved, without an answer
                yield from self._settle(line, answer)
            self._waiting.extend(self.short)
            self.short.clear()

    def _settle(self, line: _Question, answer: Answer) -> Iterator[Entry]:
        again = self._goes_again(line, answer)
        result = read_result(_result(line.custom_id, answer))
        usd = paid_alone(self._plan, result) if result is not None else None
        if usd is not None:
            yield AnswerSettled(shard=self._number, position=line.position, usd=usd, again=again)
        if again:
            due = self._clock.now() + self._work.policy.wait(line.attempt)
            self._waiting.append(replace(line, attempt=line.attempt + 1, due=due, last=answer))

    def _fits(self, line: _Question) -> bool:
        cap = self._work.policy.max_cost
        if cap is None:
            return True
        return line.most is not None and line.most <= account(self._work.state).left(cap)

    def _goes_again(self, line: _Question, answer: Answer) -> bool:
        is_passing = is_passing_answer(answer.status_code, answer.body)
        return is_passing and line.attempt <= self._work.policy.retries

    def _ask(self, line: _Question) -> Answer | None:
        """Ask once, in a thread of its own; None when the request left and no answer came."""
        request = json.loads(line.content)  # which keeps integers of any length
        backend = cast(Answers, self._work.backend)
        try:
            answer = backend.answer(request["url"], request["body"])
        except OutcomeUnknown:
            return None
        except (Unavailable, RateLimited, Refused) as error:
            answer = _refused(error)
        if not self._goes_again(line, answer):
            self._keep(line, answer)
        return answer

    def _keep(self, line: _Question, answer: Answer) -> None:
        self._answers.keep(line.custom_id, _result(line.custom_id, answer))


_GLANCE = 0.2
"""Real seconds for which answers are waited for while lines may fall due."""


class _Answers:
    """The answers that came, on the disk: a file of result lines."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._stream = path.open("a+b")
        self.found = self._recover()
        """The answers by custom_id."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def keep(self, custom_id: str, result: bytes) -> None:
        """Keep a result line, on the disk."""
        told = read_result(result)
        with self._lock:
            self._stream.write(result + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
            if told is not None:
                self.found[custom_id] = told

    def _recover(self) -> dict[str, ResultLine]:
        """The answers that are whole; a line that a crash cut short is taken off."""
        self._stream.seek(0)
        end = 0
        found = {}
        for line in read_lines(self._stream):
            result = read_result(line.content)
            if result is None:
                break
            found[result.custom_id] = result
            end = line.offset + len(line.content) + 1
        self._stream.truncate(min(end, self._stream.seek(0, os.SEEK_END)))
        if end > self._stream.seek(0, os.SEEK_END):
            self._stream.write(b"\n")
        return found


def _refused(error: BatchsimError) -> Answer:
    status = error.status if isinstance(error, Refused) else 503
    code = error.code if isinstance(error, Refused) else None
    body = {"error": {"message": error.message, "type": None, "param": None, "code": code}}
    return Answer(status, json.dumps(body))


def _result(custom_id: str, answer: Answer) -> bytes:
    """An answer as a result line; its body stays as it is, if it is JSON on one line."""
    body = answer.body
    try:
        orjson.loads(body)
    except ValueError:
        body = json.dumps(body)
    if "\n" in body or "\r" in body:
        body = json.dumps(json.loads(body))
    return (
        f'{{"id": null, "custom_id": {json.dumps(custom_id)}, "response": {{"status_code": '
        f'{answer.status_code}, "request_id": null, "body": {body}}}, "error": null}}'
    ).encode()
