"""What is done with lines once their results are here: place them, send some again, write them out.

Nothing here speaks to a service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from batchsim.runner.effects.context import Workplace
from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.journal.job_entries import Entry, Finished, RoundPlanned, Tally
from batchsim.runner.journal.shard_entries import (
    Blocked,
    Collected,
    DownloadDropped,
    Origin,
    Planned,
)
from batchsim.runner.planning.plan import custom_ids_in
from batchsim.runner.planning.retry_round import plan_round
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.planning.skipped_lines import stand_in
from batchsim.runner.results.assemble import assemble
from batchsim.runner.results.collect import ForeignResults, Gathered, collect

AT_ONCE = 100
"""How many lines that get no batch are a shard together."""


def gather(work: Workplace, number: int, shard: ShardState) -> Iterator[Entry]:
    """Place the results of a shard; where they are another batch's, a person has to look."""
    try:
        gathered = _place(work, shard, is_hurried=_is_hurried(work, work.backend.clock.now()))
    except ForeignResults as error:
        yield DownloadDropped(shard=number, source=error.source, reason=error.message)
        yield Blocked(shard=number, reason=f"{error.message}; {error.hint}")
    else:
        yield Collected(shard=number, **gathered._asdict())


def place_again(work: Workplace, shard: ShardState) -> Tally:
    """Make the index of a collected shard anew, as it was; what became of its lines."""
    return _place(work, shard, is_hurried=_is_hurried(work, shard.since)).tally


def _place(work: Workplace, shard: ShardState, *, is_hurried: bool) -> Gathered:
    number, directory = shard.plan.shard, work.directory
    if work.custom_ids is not None and work.custom_ids.holds(number):
        ids = work.custom_ids.of_shard(number)
        gathered = collect(shard, ids, directory, is_hurried=is_hurried)
    else:
        with ShardContent(work.source, shard.plan) as content:
            ids = custom_ids_in(content.buffered())
            gathered = collect(shard, ids, directory, is_hurried=is_hurried)
    work.verified.add(directory.index(number))
    return gathered


def _is_hurried(work: Workplace, moment: float) -> bool:
    """Whether by then the job was being finished without batches, and nobody had cancelled it."""
    hurried, cancelled = work.state.hurried_at, work.state.cancelled_at
    was_cancelled = cancelled is not None and cancelled <= moment
    return hurried is not None and hurried <= moment and not was_cancelled


def next_round(work: Workplace) -> tuple[Entry, ...]:
    """The round in which lines are sent again, with its shards."""
    round = work.state.round + 1
    if work.state.hurried_at is None:
        shards = plan_round(_plans(work), work.directory, work.source, work.limits, round=round)
        return RoundPlanned(round=round), *shards
    limits = replace(work.limits, requests_per_batch=AT_ONCE)
    shards = plan_round(_plans(work), work.directory, work.source, limits, round=round)
    single = (structs.replace(plan, origin=Origin.SYNCHRONOUS) for plan in shards)
    return RoundPlanned(round=round), *single


def write_results(work: Workplace) -> Finished:
    """Write the results and the ledger; what became of the lines."""
    shards = work.state.shards
    size, tally, late = assemble(
        _plans(work),
        work.directory,
        work.results,
        lines=work.started.lines,
        batches={number: shard.batch.id for number, shard in shards.items() if shard.batch},
        put_aside=work.custom_ids,
    )
    every = work.state.tally()
    tally = replace(tally, quarantined=every.quarantined, usage=every.usage)
    return Finished(bytes=size, tally=tally, late=late)


def _plans(work: Workplace) -> list[Planned]:
    skipped = [stand_in(work.state.skipped)] if work.state.skipped else []
    return skipped + [shard.plan for shard in work.state.shards.values()]
