"""Result files -> the index of a shard, with every line in exactly one account.

Theory of operation. A shard has at most 50,000 lines, so restoring order is done per shard: the
custom_ids of its lines in a dictionary, and for every line a place (batchsim.runner.results.shard_index), which
says in which file the line's result begins, how long it is, and what became of the line. The result
files are read once, first the output file, then the error file (batchsim.runner.results.match), and a
line that ends up without a place gets a record of ours. What is odd is counted and named, and so is
what the service's own counts claim and the files lack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from batchsim.domain.lifecycle import Status
from batchsim.errors import BatchsimError
from batchsim.jsonl import replace_file, replace_or_remove
from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.journal.anomalies import Anomaly, AnomalyKind
from batchsim.runner.journal.job_entries import Tally
from batchsim.runner.journal.shard_entries import Downloaded, Origin, Source
from batchsim.runner.results.match import Sorter
from batchsim.runner.results.outcomes import Outcome
from batchsim.runner.results.shard_index import Records, status_code, verdict, write_index


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
    """What became of a shard's lines; so many are worth another try."""

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
    """Find the place of every line's result; what became of the lines.

    `retry_cancelled` when we had batches cancelled to finish without them. `custom_ids` are those of the shard's lines, in order. Writes the shard's index, records,
    quarantine and conflicts into the directory; doing so again gives the same bytes.

    Raises ForeignResults when a result file has nothing to do with the lines.
    """
    number = shard.plan.shard
    with ExitStack() as stack:
        quarantine, conflicts, records = (
            stack.enter_context(replace_or_remove(path, synced=directory.outlasts_power))
            for path in (
                directory.quarantine(number),
                directory.conflicts(number),
                directory.file(number, Source.RECORDS),
            )
        )
        sorter = Sorter(
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
                example = sorter.sort(path, source)
                if example is not None:
                    raise ForeignResults(source, path, example)
        ours = Records(records)
        sorter.fill_gaps(shard, ours.write)
        index = stack.enter_context(
            replace_file(directory.index(number), private=True, synced=directory.outlasts_power)
        )
        write_index(index, sorter.index, ours)
    counts = sorter.index.counts()
    return Gathered(
        _tally(counts, sorter),
        sum(count for ending, count in counts.items() if verdict(ending).again),
        (*_false_claims(shard, counts), *sorter.oddities()),
    )


def _tally(counts: Mapping[int, int], sorter: Sorter) -> Tally:
    words: Counter[str] = Counter()
    for ending, count in counts.items():
        words[verdict(ending).outcome.word] += count
    return Tally(
        **{outcome.word: words[outcome.word] for outcome in Outcome},
        quarantined=sorter.quarantined,
        usage=sorter.usage,
    )


def _false_claims(shard: ShardState, counts: Mapping[int, int]) -> Iterator[Anomaly]:
    """Where the batch's counts are not what its files hold; a service may give no counts at all."""
    batch = shard.batch
    if batch is None or batch.status is Status.FAILED or not batch.request_counts.total:
        return
    told = batch.request_counts
    good = bad = 0
    for ending, count in counts.items():
        if verdict(ending).outcome is Outcome.OK:
            good += count
        elif verdict(ending).outcome is Outcome.FAILED and status_code(ending):
            bad += count
    for kind, reported, found in (
        (AnomalyKind.TOTAL, told.total, shard.plan.lines),
        (AnomalyKind.COMPLETED, told.completed, good),
        (AnomalyKind.FAILED, told.failed, bad),
    ):
        if reported != found:
            yield Anomaly(kind=kind, reported=reported, found=found)
