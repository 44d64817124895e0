"""Read the service's list of batches: at the start, while batches run, and at the end.

Theory of operation. Only the list shows what a job really made. So it is read before anything is
made (a journal may be an old copy); page by page while many batches run, or while a second batch
of a shard might appear; and once more at the end, when every batch under the job's name must be in
the journal, or the job reports which are not.
"""

from collections.abc import Callable, Iterator
from typing import Any

from batchsim.backends import Backend, Listed, Page
from batchsim.domain.batches import Batch
from batchsim.errors import Unavailable
from batchsim.runner.effects.context import Entries, JobContext, batch_of
from batchsim.runner.effects.input_check import without_copies
from batchsim.runner.effects.ownership import MARGIN, earliest_time, new_batches, owner
from batchsim.runner.job import JobState, ShardState, Stage
from batchsim.runner.job.remote_names import is_of_run
from batchsim.runner.job.token_queues import lines_queued
from batchsim.runner.journal.job_entries import Audited, Entry, Reconciled, Surveyed
from batchsim.runner.journal.shard_entries import Checked, Observed, TwinSeen

MOST_PAGES = 1_000
"""How many pages a command reads of a whole list at most."""

SEARCH_PAGES = 100
"""How many pages the runner reads at most in one search: live batches are polled after it."""

SURVEY_PAGES = 20
"""How many pages one survey has at most. A batch that it did not reach is polled."""


def listed_since(
    page_after: Callable[[str | None], Page[Listed]],
    moment: float = 0.0,
    *,
    most: int = MOST_PAGES,
    must_end: bool = True,
) -> Iterator[Listed]:
    """Yield what a list shows since `moment` (unix seconds; 0: all of it), newest first.

    `page_after` returns the page after an id, and the first page for None. The search ends after a
    page on which everything is older, and after a page that shows nothing new. All that was read
    is yielded, since our ids and names outrank the service's times. An entry without a time of
    creation (0) is never too old, and a page that is not sorted from the newest on does not end
    the search.

    Raises Unavailable when the list goes on after `most` pages, unless it need not end.
    """
    after, seen = None, set[str]()
    for _ in range(most):
        page = page_after(after)
        new = [each for each in page.data if each.id not in seen]
        yield from new
        if not new or not page.has_more:
            return
        times = [each.created_at for each in page.data]
        if 0 < times[0] < moment and times == sorted(times, reverse=True):
            return
        seen.update(each.id for each in new)
        after = page.data[-1].id
    if must_end:
        raise Unavailable(
            f"the service's list does not end: {most:,} pages were read, and it promises more",
            hint="try again later; `batchsim batches list` shows the first entries",
        )


def every_batch(backend: Backend) -> Iterator[Batch]:
    return listed_since(lambda after: backend.list_batches(limit=100, after=after))


def reconcile(context: JobContext) -> Iterator[Entries]:
    """Check that this key may read both lists, and record batches that the journal lacks."""
    context.backend.list_files(purpose="batch", limit=1)
    if context.files.custom_ids is not None:
        context.backend.list_batches(limit=1)
    else:
        since = earliest_time(context.state)
        listed = listed_since(context.list_batches, since, most=SEARCH_PAGES, must_end=False)
        yield from new_batches(context.state, without_copies(context, listed))
    yield Reconciled()


def survey(context: JobContext, after: str | None) -> Iterator[Entries]:
    """Record one page of the list. A survey ends at a page older than all that ran as it began."""
    page = context.list_batches(after)
    state, memory = context.state, context.memory
    if after is None:
        memory.survey_oldest = min((batch.created_at for batch in _unfinished(state)), default=0)
        memory.survey_pages = 0
        memory.survey_seen.clear()
    ids = {batch.id for batch in page.data}
    has_news = not ids <= memory.survey_seen
    memory.survey_pages += 1
    memory.survey_seen |= ids
    yield from new_batches(state, without_copies(context, page.data))
    seen = [entry for batch in page.data for entry in _changes(state, batch)]
    times = [batch.created_at for batch in page.data]
    is_last = (
        not page.has_more
        or not has_news
        or memory.survey_pages >= SURVEY_PAGES
        or 0 < times[-1] < memory.survey_oldest - MARGIN
    )
    others = lines_queued(page.data, state.batch_shards)
    yield *seen, Surveyed(cursor=None if is_last else page.data[-1].id, foreign_lines=others)


def poll(context: JobContext, number: int, shard: ShardState) -> Entry:
    return _seen(number, batch_of(shard), context.backend.retrieve_batch(batch_of(shard).id))


def audit(context: JobContext) -> Iterator[Entries]:
    """Compare the batches under the job's name with those in the journal.

    A list without end does not hold the results back: as much of it is read as in any search.
    """
    state, since = context.state, earliest_time(context.state)
    listed = [
        batch
        for batch in listed_since(context.list_batches, since, most=SEARCH_PAGES, must_end=False)
        if is_of_run(batch, context.started) or owner(state, batch) is not None
    ]
    strays = tuple(batch for batch in listed if batch.id not in state.batch_shards)
    yield tuple(entry for batch in listed for entry in _changes(state, batch))
    yield from new_batches(state, without_copies(context, strays))
    yield Audited(batches=len(listed), strays=tuple(batch.id for batch in strays))


def _changes(state: JobState, batch: Batch) -> Iterator[Entry]:
    number = owner(state, batch) if batch.id in state.batch_shards else None
    if number is None:
        return
    shard = state.shards[number]
    if shard.batch is not None and shard.batch.id == batch.id:
        if shard.stage is Stage.LIVE:
            yield _seen(number, shard.batch, batch)
        return
    for twin in shard.twins:
        if twin.id == batch.id and twin.status is not batch.status:
            yield TwinSeen(shard=number, batch=batch)


def _seen(number: int, before: Batch, batch: Batch) -> Entry:
    if _durable_part(batch) == _durable_part(before):
        return Checked(shard=number, batch=batch)
    return Observed(shard=number, batch=batch)


def _durable_part(batch: Batch) -> tuple[Any, ...]:
    """Return the part of a batch whose changes are journalled; its counts are not."""
    files = batch.output_file_id, batch.error_file_id
    return batch.status, batch.unknown_status, files, batch.errors


def _unfinished(state: JobState) -> Iterator[Batch]:
    for shard in state.shards.values():
        if shard.stage is Stage.LIVE and shard.batch is not None:
            yield shard.batch
        yield from (twin for twin in shard.twins if not twin.status.is_terminal)
