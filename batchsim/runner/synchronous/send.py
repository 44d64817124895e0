"""Send lines without a batch: so many at once, and again while that is safe and may help.

See batchsim.runner.synchronous.finish for when, and for the journal entries before and after.
"""

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from batchsim.backends import Answers
from batchsim.domain.answers import Answer, has_shape
from batchsim.errors import BatchsimError, OutcomeUnknown, RateLimited, Refused, Unavailable
from batchsim.runner.effects.context import JobContext
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import AnswerIntended, AnswerRecorded
from batchsim.runner.results.outcomes import is_passing_answer
from batchsim.runner.results.result_lines import read_result
from batchsim.runner.schedule.budget import answer_cost
from batchsim.runner.synchronous.answer_file import AnswerFile, result_line

_GLANCE = 0.2
"""Real seconds to wait for answers while lines may fall due."""


@dataclass(frozen=True, slots=True)
class SingleRequest:
    """A line to send, not before `due` (unix seconds); `most` is the most that it can cost."""

    position: int
    custom_id: str
    content: bytes
    most: Decimal | None
    attempt: int = 1
    due: float = 0.0
    last: Answer | None = None


class Sender:
    """Sends the lines of one shard.

    This thread alone decides and yields journal entries; the workers send, and store the answers.
    `short` are the lines for which the cap leaves no room.
    """

    def __init__(
        self, context: JobContext, number: int, lines: list[SingleRequest], answers: AnswerFile
    ) -> None:
        self._context = context
        self._clock = context.backend.clock
        self._number = number
        self._plan = context.state.shards[number].plan
        self._waiting = deque(lines)
        self._under_way: dict[Future[Answer | None], SingleRequest] = {}
        self._answers = answers
        self.short: list[SingleRequest] = []

    def send_all(self) -> Iterator[Entry]:
        executor = ThreadPoolExecutor(self._context.policy.sync.parallel)
        try:
            while self._waiting or self._under_way:
                yield from self._start(executor)
                yield from self._wait()
        finally:
            executor.shutdown(cancel_futures=True)

    def _start(self, executor: ThreadPoolExecutor) -> Iterator[Entry]:
        now = self._clock.now()
        for _ in range(len(self._waiting)):
            if len(self._under_way) >= self._context.policy.sync.parallel:
                return
            line = self._waiting.popleft()
            if line.due > now:
                self._waiting.append(line)
            elif self._fits(line):
                yield AnswerIntended(shard=self._number, position=line.position, reserved=line.most)
                self._under_way[executor.submit(self._send, line)] = line
            elif line.last is not None:
                self._store(line, line.last)
            else:
                self.short.append(line)

    def _wait(self) -> Iterator[Entry]:
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
                yield from self._record(line, answer)
            self._waiting.extend(self.short)
            self.short.clear()

    def _record(self, line: SingleRequest, answer: Answer) -> Iterator[Entry]:
        again = self._is_repeated(line, answer)
        result = read_result(result_line(line.custom_id, answer))
        usd = answer_cost(self._plan, result) if result is not None else None
        if usd is not None:
            yield AnswerRecorded(
                shard=self._number, position=line.position, usd=usd, is_repeated=again
            )
        if again:
            due = self._clock.now() + self._context.policy.wait(line.attempt)
            self._waiting.append(replace(line, attempt=line.attempt + 1, due=due, last=answer))

    def _fits(self, line: SingleRequest) -> bool:
        cap = self._context.policy.max_cost
        if cap is None:
            return True
        return line.most is not None and line.most <= self._context.agenda.balance().left(cap)

    def _is_repeated(self, line: SingleRequest, answer: Answer) -> bool:
        is_passing = is_passing_answer(answer.status_code, answer.body)
        return is_passing and line.attempt <= self._context.policy.retries

    def _send(self, line: SingleRequest) -> Answer | None:
        """Send once, in a worker; return None when the request left and no usable answer came."""
        request = json.loads(line.content)  # orjson would not keep integers of any length
        backend = cast(Answers, self._context.backend)
        try:
            answer = backend.answer(request["url"], request["body"])
        except OutcomeUnknown:
            return None
        except (Unavailable, RateLimited, Refused) as error:
            answer = _refused(error)
        if 200 <= answer.status_code < 300 and not has_shape(request["url"], _value(answer.body)):
            return None
        if not self._is_repeated(line, answer):
            self._store(line, answer)
        return answer

    def _store(self, line: SingleRequest, answer: Answer) -> None:
        self._answers.append(line.custom_id, result_line(line.custom_id, answer))


def _value(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _refused(error: BatchsimError) -> Answer:
    status = error.status if isinstance(error, Refused) else 503
    code = error.code if isinstance(error, Refused) else None
    body = {"error": {"message": error.message, "type": None, "param": None, "code": code}}
    return Answer(status, json.dumps(body))
