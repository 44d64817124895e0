"""Find good results that the service counts and its files lack.

They were run and paid, so to send their lines again would pay for them twice. The download that
lacks them may be a bad one: a proxy's page, a cut file, another file. To download it again is free.
"""

from __future__ import annotations

from batchsim.amounts import counted
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import Status
from batchsim.errors import BatchsimError
from batchsim.runner.journal import Anomaly, AnomalyKind
from batchsim.runner.journal.job_entries import Tally


class LostResults(BatchsimError):
    """Results that were paid are in no file of the batch."""

    def __init__(self, evidence: str) -> None:
        super().__init__(
            f"{evidence}: nothing is sent again, since these lines were paid "
            "(--accept-lost gives them up and sends them again)"
        )


def lost_results(batch: Batch | None, tally: Tally, found: tuple[Anomaly, ...]) -> int:
    """Return how many lines without a result were, or may have been, run and paid.

    A line without a result did not run where the batch failed, or where the counts tell so. Without
    counts, a completed batch has run every line.
    """
    if batch is None or batch.status is Status.FAILED or not tally.missing:
        return 0
    counts = batch.request_counts
    if counts.total:
        blank = _number(found, AnomalyKind.BLANK)
        return max(0, min(tally.missing, counts.completed - tally.ok - blank))
    return tally.missing if batch.status is Status.COMPLETED else 0


def loss_evidence(batch: Batch | None, tally: Tally, found: tuple[Anomaly, ...]) -> str | None:
    """Return why the downloads of a batch are not believed; None when they can be.

    That is where paid results are lacking, and where lines are lacking beside some that cannot be
    read: a file that was cut, or one that is something else.
    """
    lost = lost_results(batch, tally, found)
    unreadable = _number(found, AnomalyKind.UNREADABLE)
    if not lost and not (tally.missing and unreadable):
        return None
    words = [counted(tally.missing, "line has no result", "lines have no result")]
    if lost and batch is not None and batch.request_counts.total:
        completed = batch.request_counts.completed
        words.append(f"the service counts {completed:,} as completed, its files hold {tally.ok:,}")
    if unreadable:
        words.append(
            counted(unreadable, "line of its files cannot", "lines of its files cannot")
            + " be read"
        )
    return "; ".join(words)


def _number(found: tuple[Anomaly, ...], kind: AnomalyKind) -> int:
    return sum(each.found for each in found if each.kind is kind)
