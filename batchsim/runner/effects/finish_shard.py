"""Finish a shard whose results are here: collect them, plan a retry round, write the results.

Nothing here speaks to a service.
"""

from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from batchsim.runner.effects.context import JobContext
from batchsim.runner.job import ShardState
from batchsim.runner.journal import shard_entries
from batchsim.runner.journal.job_entries import Entry, Finished, RoundPlanned, Tally
from batchsim.runner.planning.request_lines import custom_ids_in
from batchsim.runner.planning.retry_round import plan_round
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.planning.skipped_lines import stand_in
from batchsim.runner.results.assemble import assemble
from batchsim.runner.results.collect import ForeignResults, Gathered, collect
from batchsim.runner.results.lost_results import LostResults, loss_evidence

AT_ONCE = 100
"""How many lines without a batch make one shard."""


def gather(context: JobContext, number: int, shard: ShardState) -> Iterator[Entry]:
    """Collect the results of a shard; block it when they belong to another batch.

    Where paid results are lacking, its files are dropped, to be downloaded again.
    """
    try:
        collected = _collect(context, shard, context.backend.clock.now())
    except ForeignResults as error:
        yield shard_entries.DownloadDropped(shard=number, source=error.source, reason=error.message)
        yield shard_entries.Blocked(shard=number, reason=f"{error.message}; {error.hint}")
        return
    evidence = loss_evidence(shard.batch, collected.tally, collected.differences)
    if evidence is None or context.policy.accept_lost:
        yield shard_entries.Collected(shard=number, **collected._asdict())
        return
    for file in shard.files:
        yield shard_entries.DownloadDropped(shard=number, source=file.source, reason=evidence)
    yield context.postponed(number, LostResults(evidence))


def collect_again(context: JobContext, shard: ShardState) -> Tally:
    """Make the index of a collected shard anew, as it was. Return the tally of its lines."""
    return _collect(context, shard, shard.since).tally


def _collect(context: JobContext, shard: ShardState, moment: float) -> Gathered:
    number, directory, ids = shard.plan.shard, context.directory, context.files.custom_ids
    retry_cancelled = _retries_cancelled(context, moment)
    if ids is not None and ids.holds(number):
        collected = collect(shard, ids.of_shard(number), directory, retry_cancelled=retry_cancelled)
    else:
        with ShardContent(context.files.source, shard.plan) as content:
            found = custom_ids_in(content.buffered())
            collected = collect(shard, found, directory, retry_cancelled=retry_cancelled)
    context.memory.verified.add(directory.index(number))
    return collected


def _retries_cancelled(context: JobContext, moment: float) -> bool:
    """Return whether the job was finishing without batches then, and was not cancelled."""
    began, cancelled = context.state.sync_began_at, context.state.cancelled_at
    was_cancelled = cancelled is not None and cancelled <= moment
    return began is not None and began <= moment and not was_cancelled


def next_round(context: JobContext) -> tuple[Entry, ...]:
    round, limits, source = context.state.round + 1, context.agenda.limits, context.files.source
    is_sync = context.state.sync_began_at is not None
    if is_sync:
        limits = replace(limits, requests_per_batch=AT_ONCE)
    shards = plan_round(_plans(context), context.directory, source, limits, round=round)
    if is_sync:
        shards = tuple(
            structs.replace(plan, origin=shard_entries.Origin.SYNCHRONOUS) for plan in shards
        )
    return RoundPlanned(round=round), *shards


def write_results(context: JobContext) -> Finished:
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


def _plans(context: JobContext) -> list[shard_entries.Planned]:
    skipped = [stand_in(context.state.skipped)] if context.state.skipped else []
    return skipped + [shard.plan for shard in context.state.shards.values()]
