"""What is done with lines once their results are here: place them, send some again, write them out.

Nothing here speaks to a service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from batchsim.runner.assemble import assemble
from batchsim.runner.collect import ForeignResults, Gathered, collect
from batchsim.runner.content import ShardContent
from batchsim.runner.entries import Entry, Finished, RoundPlanned
from batchsim.runner.plan import custom_ids_in
from batchsim.runner.rounds import plan_round
from batchsim.runner.shard_entries import Blocked, Collected, DownloadDropped, Origin, Planned
from batchsim.runner.shard_state import ShardState
from batchsim.runner.skipped import stand_in
from batchsim.runner.workplace import Workplace

AT_ONCE = 100
"""How many lines that get no batch are a shard together."""


def gather(work: Workplace, number: int, shard: ShardState) -> Iterator[Entry]:
    """Place the results of a shard; where they are another batch's, a person has to look."""
    try:
        gathered = _gathered(work, number, shard)
    except ForeignResults as error:
        yield DownloadDropped(shard=number, source=error.source, reason=error.message)
        yield Blocked(shard=number, reason=f"{error.message}; {error.hint}")
    else:
        yield Collected(shard=number, **gathered._asdict())


def _gathered(work: Workplace, number: int, shard: ShardState) -> Gathered:
    is_hurried = work.state.hurried_at is not None and work.state.cancelled_at is None
    if work.custom_ids is not None and work.custom_ids.holds(number):
        return collect(
            shard, work.custom_ids.of_shard(number), work.directory, is_hurried=is_hurried
        )
    with ShardContent(work.source, shard.plan) as content:
        ids = custom_ids_in(content.buffered())
        return collect(shard, ids, work.directory, is_hurried=is_hurried)


def next_round(work: Workplace) -> tuple[Entry, ...]:
    """The round in which lines are sent again, with its shards."""
    round = work.state.round + 1
    if work.state.hurried_at is None:
        shards = plan_round(_plans(work), work.directory, work.source, work.limits, round=round)
        return RoundPlanned(round=round), *shards
    limits = replace(work.limits, requests_per_batch=AT_ONCE)
    shards = plan_round(_plans(work), work.directory, work.source, limits, round=round)
    single = (replace(plan, origin=Origin.SYNCHRONOUS) for plan in shards)
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
    )
    every = work.state.tally()
    tally = replace(tally, quarantined=every.quarantined, usage=every.usage)
    return Finished(bytes=size, tally=tally, late=late)


def _plans(work: Workplace) -> list[Planned]:
    skipped = [stand_in(work.state.skipped)] if work.state.skipped else []
    return skipped + [shard.plan for shard in work.state.shards.values()]
