"""The named ways in which a batch's results differ from what they should be."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class AnomalyKind(StrEnum):
    """One way in which the service's account of a batch and its result files differ."""

    TOTAL = "total"
    """`request_counts.total` is not the number of lines that were sent."""
    COMPLETED = "completed"
    """`request_counts.completed` is not the number of good results in the files."""
    FAILED = "failed"
    """`request_counts.failed` is not the number of failed lines in the files."""
    BLANK = "blank"
    """Results without an answer: status code 0, or neither response nor error."""
    DOUBLED = "doubled"
    """A line has several results, all with the same content."""
    CONFLICTING = "conflicting"
    """A line has several results that differ; they are kept in the conflicts file."""
    FOREIGN = "foreign"
    """Results for a custom_id that the batch does not have."""
    UNREADABLE = "unreadable"
    """Lines of a result file that are not results."""
    MISSING = "missing"
    """Lines of an ended batch that its files do not mention."""


class Anomaly(
    msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "claim", "reported": "claimed"}
):
    """One anomaly of a batch.

    `found` counts its cases, `reported` is the service's own count where it has one, and `example`
    is the custom_id of the first case.
    """

    kind: AnomalyKind
    found: int
    reported: int | None = None
    example: str | None = None

    @property
    def words(self) -> str:
        text = _WORDS[self.kind].format(found=self.found, claimed=self.reported)
        return f"{text}, such as {self.example!r}" if self.example is not None else text


_WORDS: Mapping[AnomalyKind, str] = {
    AnomalyKind.TOTAL: "the service counts {claimed:,} lines where {found:,} were sent",
    AnomalyKind.COMPLETED: "the service counts {claimed:,} lines as completed, the files hold "
    "{found:,}",
    AnomalyKind.FAILED: "the service counts {claimed:,} lines as failed, the files hold {found:,}",
    AnomalyKind.BLANK: "{found:,} results hold neither an answer nor an error",
    AnomalyKind.DOUBLED: "{found:,} results were there twice",
    AnomalyKind.CONFLICTING: "{found:,} results contradict another one of their line",
    AnomalyKind.FOREIGN: "{found:,} results are for no line of the batch",
    AnomalyKind.UNREADABLE: "{found:,} lines of the files are no results",
    AnomalyKind.MISSING: "{found:,} lines have no result",
}
