"""What is left when a deadline nears, asked for one by one at the ordinary price.

Theory of operation. Only if the policy says so. First nothing more is sent in batches, and batches
under way are cancelled, which keeps what has run. A batch whose create got no answer, and that is not
in the list when that has had time to settle, may exist and run: unless the policy is to fence it
off, its lines get a record that says so and are not asked for again (LeaveCreate). Then the lines that are left become shards of a
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
from collections.abc import Iterator
from decimal import Decimal

from batchsim.backends import Backend
from batchsim.domain.lines import LineError
from batchsim.errors import UsageError
from batchsim.jsonl import Line, read_lines
from batchsim.runner.effects import finish_shard
from batchsim.runner.effects.context import JobContext
from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import AnswerRecorded, Blocked, Downloaded, Source
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.planning.token_bounds import bounds, read_request
from batchsim.runner.policy import Policy
from batchsim.runner.results.placeholders import record
from batchsim.runner.schedule.budget import answer_cost, answer_cost_bound, dollars
from batchsim.runner.synchronous.answer_file import KeptAnswers
from batchsim.runner.synchronous.ask import Asking, Question

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


def answer_lines(context: JobContext, number: int, shard: ShardState) -> Iterator[Entry]:
    """Ask for the lines of a shard that have not been asked for, and collect the shard.

    Where the cap on cost leaves lines out, the shard is stopped instead.
    """
    with ShardContent(context.files.source, shard.plan) as content:
        lines = [_question(context, shard, line) for line in read_lines(content.buffered())]
    path = context.directory.file(number, Source.OUTPUT)
    with KeptAnswers(path) as answers:
        yield from _settle_late(context, number, lines, answers)
        if context.state.cancelled_at is None:
            asked = context.state.shards[number].answer_reserves
            todo = [
                line
                for line in lines
                if line.position not in asked and line.custom_id not in answers.found
            ]
            asking = Asking(context, number, todo, answers)
            yield from asking.go_through()
            if asking.short:
                yield Blocked(shard=number, reason=_shortage(context, asking.short))
                return
        for position in sorted(context.state.shards[number].answer_reserves):
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
    yield from finish_shard.gather(context, number, context.state.shards[number])


def _question(context: JobContext, shard: ShardState, line: Line) -> Question:
    request = read_request(line, context.files.source)
    most = None
    if request.body.get("service_tier") not in _DEARER:
        most = answer_cost_bound(shard.plan, bounds(line.content, request))
    return Question(line.number - 1, request.custom_id, line.content, most)


def _settle_late(
    context: JobContext, number: int, lines: list[Question], answers: KeptAnswers
) -> Iterator[Entry]:
    """Settle what was answered before another process ended, and not settled by it."""
    shard = context.state.shards[number]
    for position, reserved in sorted(shard.answer_reserves.items()):
        answer = answers.found.get(lines[position].custom_id)
        usd = answer_cost(shard.plan, answer) if answer is not None else None
        if reserved is not None and usd is not None:
            yield AnswerRecorded(shard=number, position=position, usd=usd)


def _shortage(context: JobContext, lines: list[Question]) -> str:
    cap = context.policy.max_cost or Decimal(0)
    left = max(context.agenda.balance().left(cap), Decimal(0))
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
