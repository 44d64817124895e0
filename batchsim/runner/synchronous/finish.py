"""Finish a job without batches when its deadline nears, if the policy asks for it.

Theory of operation.

1. Nothing more is sent in batches, and running batches are cancelled, which keeps what has run.
2. A batch whose create got no answer, and that the list does not show after the list lag, may exist
   and run. Unless the policy is to fence it, its lines get a placeholder that says so and are not
   sent again (LeaveCreate).
3. The other lines become shards of a last round without batches. For each line the intent goes to
   the journal, with the most that the answer may cost; then the request leaves; then the answer is
   stored as a result line; then its cost is recorded in the journal.
4. A process that continues such a shard sends only lines that have no intent in the journal. A line
   with an intent and no answer may have been paid for: it gets a placeholder that says so, is not
   sent again, and its reservation stays.

Under a cap a line whose reservation does not fit waits until the costs of others are recorded. If
it still does not fit, it is not sent, and its shard stops with the reason.
"""

import hashlib
from collections.abc import Iterator
from decimal import Decimal

from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.domain.lines import LineError
from batchsim.errors import UsageError
from batchsim.jsonl import Line, read_lines
from batchsim.runner.effects import finish_shard
from batchsim.runner.effects.context import JobContext
from batchsim.runner.job import ShardState
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import AnswerRecorded, Blocked, Downloaded, Source
from batchsim.runner.planning.request_lines import request_on
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.planning.token_bounds import bounds
from batchsim.runner.policy import Policy
from batchsim.runner.results.placeholders import placeholder
from batchsim.runner.schedule.budget import answer_cost, answer_cost_bound, cap_left, dollars
from batchsim.runner.synchronous.answer_file import AnswerFile
from batchsim.runner.synchronous.send import Sender, SingleRequest

_UNKNOWN = LineError(
    "outcome_unknown",
    "This request was sent outside a batch and no answer is known. It may have been paid for.",
)

_ORDINARY = (None, "auto", "default", "flex")
"""The `service_tier` at the ordinary price or below it (API reference); batches have none."""


def check_policy(backend: Backend, policy: Policy) -> None:
    """Raises UsageError when the backend cannot finish the job as its policy says."""
    if policy.finish_sync and not callable(getattr(backend, "answer", None)):
        raise UsageError(
            "this backend answers no single requests, so nothing can be finished without a batch",
            hint="leave out --finish-sync",
        )


def answer_lines(context: JobContext, number: int, shard: ShardState) -> Iterator[Entry]:
    """Send the lines of a shard that were not sent yet, and collect it, or stop it under a cap."""
    with ShardContent(context.files.source, shard.plan) as content:
        lines = [_single_request(context, shard, line) for line in read_lines(content.buffered())]
    path = context.directory.file(number, Source.OUTPUT)
    with AnswerFile(path) as answers:
        yield from _record_late(context, number, lines, answers)
        if context.state.cancelled_at is None:
            sent = context.state.shards[number].answer_reserves
            todo = [
                line
                for line in lines
                if line.position not in sent and line.custom_id not in answers.found
            ]
            sender = Sender(context, number, todo, answers)
            yield from sender.send_all()
            if sender.short:
                yield Blocked(shard=number, reason=_shortage(context, sender.short))
                return
        for position in sorted(context.state.shards[number].answer_reserves):
            custom_id = lines[position].custom_id
            if custom_id not in answers.found:
                answers.append(custom_id, placeholder(custom_id, _UNKNOWN))
    content_bytes = path.read_bytes()
    yield Downloaded(
        shard=number,
        source=Source.OUTPUT,
        file_id="",
        bytes=len(content_bytes),
        sha256=hashlib.sha256(content_bytes).hexdigest(),
    )
    yield from finish_shard.gather(context, number, context.state.shards[number])


def _single_request(context: JobContext, shard: ShardState, line: Line) -> SingleRequest:
    request = request_on(line, context.files.source)
    most = None
    if request.body.get("service_tier") in _ORDINARY:
        most = answer_cost_bound(shard.plan, bounds(line.content, request))
    return SingleRequest(line.number - 1, request.custom_id, line.content, most)


def _record_late(
    context: JobContext, number: int, lines: list[SingleRequest], answers: AnswerFile
) -> Iterator[Entry]:
    """Record the costs of answers that an earlier process stored and did not record."""
    shard = context.state.shards[number]
    for position, reserved in sorted(shard.answer_reserves.items()):
        answer = answers.found.get(lines[position].custom_id)
        usd = answer_cost(shard.plan, answer) if answer is not None else None
        if reserved is not None and usd is not None:
            yield AnswerRecorded(shard=number, position=position, usd=usd)


def _shortage(context: JobContext, lines: list[SingleRequest]) -> str:
    cap = context.policy.max_cost or Decimal(0)
    left = context.agenda.balance().left(cap)
    unknown = [line.custom_id for line in lines if line.most is None]
    if unknown:
        some = f"{counted(len(unknown), 'line is', 'lines are')} not sent without a batch"
        return f"{some}, such as {unknown[0]!r}: nothing bounds their cost"
    least = min(line.most for line in lines if line.most is not None)
    return (
        f"{counted(len(lines), 'line is', 'lines are')} not sent without a batch: each may cost "
        f"{dollars(least)} or more at the ordinary price, and {cap_left(cap, left)}"
    )
