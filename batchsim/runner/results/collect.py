"""Collect a shard: result files in, its index out, with exactly one result for every line.

Theory of operation. A shard has at most 50,000 lines, so order is restored per shard. The
custom_ids of its lines are in a dictionary, and every line gets a location
(batchsim.runner.results.shard_index): the file and the offset where its result begins, its length,
and how the line ended. The result files are read once, first the output file, then the error file
(batchsim.runner.results.match). A line without a result gets a placeholder. Anomalies are counted
and listed, and so are mismatches between the service's own counts and its files.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from batchsim.domain.lifecycle import Status
from batchsim.errors import BatchsimError
from batchsim.jsonl import replace_file, replace_or_remove
from batchsim.runner.job import JobDirectory, ShardState
from batchsim.runner.journal import Anomaly, AnomalyKind
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Downloaded, Origin, Source
from batchsim.runner.results import shard_index
from batchsim.runner.results.match import Matcher
from batchsim.runner.results.outcomes import Outcome


class ForeignResults(BatchsimError):
    """A result file holds results, and none of them is for a line of the batch."""

    def __init__(self, source: Source, path: Path, example: str) -> None:
        super().__init__(
            f"the {source} file holds results of another batch, such as {example!r}, and none of "
            "this one",
            hint=f"look at {path}; the same command downloads it again",
        )
        self.source = source


class Gathered(NamedTuple):
    """The outcomes of a shard's lines, how many are retriable, and the anomalies."""

    tally: Tally
    retriable: int
    differences: tuple[Anomaly, ...]


def collect(
    shard: ShardState,
    custom_ids: Iterable[str],
    directory: JobDirectory,
    *,
    retry_cancelled: bool = False,
) -> Gathered:
    """Match every line with its result, and return the outcomes.

    `custom_ids` are those of the shard's lines, in order. `retry_cancelled` makes cancelled lines
    retriable: we cancelled their batch to finish without it. Writes the shard's index,
    placeholders, quarantine and conflicts into the directory; a second call writes the same bytes.

    Raises ForeignResults when a result file has nothing to do with the lines.
    """
    number = shard.plan.shard
    with ExitStack() as stack:
        quarantine, conflicts, placeholders = (
            stack.enter_context(replace_or_remove(path, synced=directory.outlasts_power))
            for path in (
                directory.quarantine(number),
                directory.conflicts(number),
                directory.file(number, Source.RECORDS),
            )
        )
        matcher = Matcher(
            {custom_id: position for position, custom_id in enumerate(custom_ids)},
            quarantine,
            conflicts,
            was_cancelled=shard.batch is not None and shard.batch.status is Status.CANCELLED,
            is_known=shard.plan.origin is not Origin.UNKNOWN,
            retry_cancelled=retry_cancelled,
        )
        for source in (Source.OUTPUT, Source.ERROR):
            if isinstance(shard.file(source), Downloaded):
                path = directory.file(number, source)
                example = matcher.match(path, source)
                if example is not None:
                    raise ForeignResults(source, path, example)
        writer = shard_index.PlaceholderWriter(placeholders)
        matcher.fill_gaps(shard, writer.write)
        index = stack.enter_context(
            replace_file(directory.index(number), private=True, synced=directory.outlasts_power)
        )
        shard_index.write_index(index, matcher.index, writer)
    counts = matcher.index.counts()
    return Gathered(
        Tally(**shard_index.outcomes(counts), quarantined=matcher.quarantined, usage=matcher.usage),
        sum(count for code, count in counts.items() if shard_index.ending(code).is_retriable),
        (*_false_counts(shard, counts), *matcher.anomalies()),
    )


def _false_counts(shard: ShardState, counts: Mapping[int, int]) -> Iterator[Anomaly]:
    """Yield the batch's counts that its files contradict. A service may give no counts at all."""
    batch = shard.batch
    if batch is None or batch.status is Status.FAILED or not batch.request_counts.total:
        return
    totals = batch.request_counts
    good = bad = 0
    for code, count in counts.items():
        outcome = shard_index.ending(code).outcome
        if outcome is Outcome.OK:
            good += count
        elif outcome is Outcome.FAILED and shard_index.status_code(code):
            bad += count
    for kind, reported, found in (
        (AnomalyKind.TOTAL, totals.total, shard.plan.lines),
        (AnomalyKind.COMPLETED, totals.completed, good),
        (AnomalyKind.FAILED, totals.failed, bad),
    ):
        if reported != found:
            yield Anomaly(kind=kind, reported=reported, found=found)
