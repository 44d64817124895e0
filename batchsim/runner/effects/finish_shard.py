"""What is done with lines once their results are here: place them, send some again, write them out.

Nothing here speaks to a service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from batchsim.runner.effects.context import JobContext
from batchsim.runner.job import ShardState
from batchsim.runner.journal.job_entries import Entry, Finished, RoundPlanned, Tally
from batchsim.runner.journal.shard_entries import (
    Blocked,
    Collected,
    DownloadDropped,
    Origin,
    Planned,
)
from batchsim.runner.planning.request_lines import custom_ids_in
from batchsim.runner.planning.retry_round import plan_round
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.planning.skipped_lines import stand_in
from batchsim.runner.results.assemble import assemble
from batchsim.runner.results.collect import ForeignResults, Gathered, collect

AT_ONCE = 100
"""How many lines that get no batch are a shard together."""


def gather(context: JobContext, number: int, shard: ShardState) -> Iterator[Entry]:
    """Place the results of a shard; where they are another batch's, a person has to look."""
    try:
        gathered = _place(
            context, shard, retry_cancelled=_retries_cancelled(context, context.backend.clock.now())
        )
    except ForeignResults as error:
        yield DownloadDropped(shard=number, source=error.source, reason=error.message)
        yield Blocked(shard=number, reason=f"{error.message}; {error.hint}")
    else:
        yield Collected(shard=number, **gathered._asdict())


def place_again(context: JobContext, shard: ShardState) -> Tally:
    """Make the index of a collected shard anew, as it was; what became of its lines."""
    return _place(context, shard, retry_cancelled=_retries_cancelled(context, shard.since)).tally


def _place(context: JobContext, shard: ShardState, *, retry_cancelled: bool) -> Gathered:
    number, directory = shard.plan.shard, context.directory
    if context.files.custom_ids is not None and context.files.custom_ids.holds(number):
        ids = context.files.custom_ids.of_shard(number)
        gathered = collect(shard, ids, directory, retry_cancelled=retry_cancelled)
    else:
        with ShardContent(context.files.source, shard.plan) as content:
            ids = custom_ids_in(content.buffered())
            gathered = collect(shard, ids, directory, retry_cancelled=retry_cancelled)
    context.memory.verified.add(directory.index(number))
    return gathered


def _retries_cancelled(context: JobContext, moment: float) -> bool:
    """Whether by then the job was being finished without batches, and nobody had cancelled it."""
    began, cancelled = context.state.sync_began_at, context.state.cancelled_at
    was_cancelled = cancelled is not None and cancelled <= moment
    return began is not None and began <= moment and not was_cancelled


def next_round(context: JobContext) -> tuple[Entry, ...]:
    """The round in which lines are sent again, with its shards."""
    round = context.state.round + 1
    if context.state.sync_began_at is None:
        shards = plan_round(
            _plans(context), context.directory, context.files.source, context.limits, round=round
        )
        return RoundPlanned(round=round), *shards
    limits = replace(context.limits, requests_per_batch=AT_ONCE)
    shards = plan_round(
        _plans(context), context.directory, context.files.source, limits, round=round
    )
    single = (structs.replace(plan, origin=Origin.SYNCHRONOUS) for plan in shards)
    return RoundPlanned(round=round), *single


def write_results(context: JobContext) -> Finished:
    """Write the results and the ledger; what became of the lines."""
    shards = context.state.shards
    size, tally, late = assemble(
        _plans(context),
        context.directory,
        context.files.results,
        lines=context.started.lines,
        batches={number: shard.batch.id for number, shard in shards.items() if shard.batch},
        spool=context.files.custom_ids,
    )
    every = context.state.tally()
    tally = replace(tally, quarantined=every.quarantined, usage=every.usage)
    return Finished(bytes=size, tally=tally, late=late)


def _plans(context: JobContext) -> list[Planned]:
    skipped = [stand_in(context.state.skipped)] if context.state.skipped else []
    return skipped + [shard.plan for shard in context.state.shards.values()]
