"""What is left when a deadline nears, asked for one by one at the ordinary price.

Theory of operation. Only if the policy says so. First nothing more is sent in batches, and batches
under way are cancelled, which keeps what has run. Then the lines that are left become shards of a
last round without batches. For each of their lines its position goes to the disk, then the request
leaves, then the answer goes to the disk, in the shape of a result line. A process that continues
such a shard asks only for lines whose position is not there. A line whose position is there and
whose answer is not may have been paid for: it gets a record that says so and is not asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self, cast

import orjson

from batchsim.backends import Answers, Backend
from batchsim.domain.lines import LineError
from batchsim.errors import (
    BatchsimError,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    UsageError,
)
from batchsim.jsonl import read_lines
from batchsim.responders import Answer
from batchsim.runner import settle
from batchsim.runner.collect import read_result
from batchsim.runner.content import ShardContent
from batchsim.runner.entries import Downloaded, Entry, Source
from batchsim.runner.outcomes import is_passing_answer
from batchsim.runner.plan import custom_id_of
from batchsim.runner.policy import Policy
from batchsim.runner.records import record
from batchsim.runner.state import ShardState
from batchsim.runner.workplace import Workplace

_UNKNOWN = LineError(
    "outcome_unknown",
    "This request was sent outside a batch and no answer is known. It may have been paid for.",
)


def check_policy(backend: Backend, policy: Policy) -> None:
    """Raises UsageError when the job could not be finished as its policy says."""
    if not policy.finish_sync:
        return
    if not callable(getattr(backend, "answer", None)):
        raise UsageError(
            "this backend answers no single requests, so nothing can be finished without a batch",
            hint="leave out --finish-sync",
        )
    if policy.max_cost is not None:
        raise UsageError(
            "what is asked for without a batch is not under the cap on cost yet",
            hint="leave out --finish-sync or --max-cost",
        )


def answer_lines(work: Workplace, number: int, shard: ShardState) -> Iterator[Entry]:
    """Ask for the lines of a shard that have not been asked for, and collect the shard."""
    with ShardContent(work.source, shard.plan) as content:
        lines = [line.content for line in read_lines(content.buffered())]
    ids = [custom_id_of(line) for line in lines]
    path = work.directory.file(number, Source.OUTPUT)
    with _Account(path, work.directory.sent(number)) as account:
        todo = [n for n in range(len(lines)) if n not in account.sent]
        if work.state.cancelled_at is None:
            _ask(work, account, [(n, ids[n], lines[n]) for n in todo])
        for position in sorted(account.sent):
            if ids[position] not in account.answered:
                account.answer(ids[position], record(ids[position], _UNKNOWN))
    content_bytes = path.read_bytes()
    yield Downloaded(
        shard=number,
        source=Source.OUTPUT,
        file_id="",
        bytes=len(content_bytes),
        sha256=hashlib.sha256(content_bytes).hexdigest(),
    )
    yield from settle.gather(work, number, work.state.shards[number])


def _ask(work: Workplace, account: _Account, lines: list[tuple[int, str, bytes]]) -> None:
    asker = _Asker(work)

    def ask(position: int, custom_id: str, line: bytes) -> None:
        account.intend(position)
        with suppress(OutcomeUnknown):  # its position stays without an answer: that is known of it
            account.answer(custom_id, _result(custom_id, asker.answer(line)))

    executor = ThreadPoolExecutor(work.policy.sync_parallel)
    try:
        for future in [executor.submit(ask, *each) for each in lines]:
            future.result()
    finally:
        executor.shutdown(cancel_futures=True)


class _Asker:
    """Asks for single lines, again while that is safe and may help."""

    def __init__(self, work: Workplace) -> None:
        self._backend = cast(Answers, work.backend)
        self._clock = work.backend.clock
        self._policy = work.policy

    def answer(self, line: bytes) -> Answer:
        """The answer to a line. Raises OutcomeUnknown when the request left and none came."""
        request = json.loads(line)  # which keeps integers of any length
        tries = self._policy.retries + 1
        for attempt in range(1, tries + 1):
            try:
                answer = self._backend.answer(request["url"], request["body"])
            except (Unavailable, RateLimited) as error:
                answer = _refused(error)
            except Refused as error:
                return _refused(error)
            if attempt == tries or not is_passing_answer(answer.status_code, answer.body):
                return answer
            self._clock.sleep(self._policy.wait(attempt))
        return answer


class _Account:
    """Which lines of a shard were sent, and the answers that came, both on the disk."""

    def __init__(self, answers: Path, sent: Path) -> None:
        self._lock = threading.Lock()
        self._answers = answers.open("a+b")
        self._sent = sent.open("a+b")
        self.answered = self._recover()
        """The custom_ids of the lines that have an answer."""
        self.sent = self._read_sent()
        """The positions of the lines that were sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._sent.close()

    def intend(self, position: int) -> None:
        """Note, on the disk, that the line is about to be sent."""
        with self._lock:
            self._sent.write(position.to_bytes(8, "little"))
            self._sent.flush()
            os.fsync(self._sent.fileno())
            self.sent.add(position)

    def answer(self, custom_id: str, result: bytes) -> None:
        """Keep a result line, on the disk."""
        with self._lock:
            self._answers.write(result + b"\n")
            self._answers.flush()
            os.fsync(self._answers.fileno())
            self.answered.add(custom_id)

    def _recover(self) -> set[str]:
        """The answers that are whole; a line that a crash cut short is taken off."""
        self._answers.seek(0)
        end = 0
        found = set()
        for line in read_lines(self._answers):
            result = read_result(line.content)
            if result is None:
                break
            found.add(result.custom_id)
            end = line.offset + len(line.content) + 1
        self._answers.truncate(min(end, self._answers.seek(0, os.SEEK_END)))
        if end > self._answers.seek(0, os.SEEK_END):
            self._answers.write(b"\n")
        return found

    def _read_sent(self) -> set[int]:
        self._sent.seek(0)
        content = self._sent.read()
        whole = len(content) // 8 * 8
        self._sent.truncate(whole)
        return {int.from_bytes(content[at : at + 8], "little") for at in range(0, whole, 8)}


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
