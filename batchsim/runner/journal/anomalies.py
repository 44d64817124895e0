"""In what a batch's results differ from what they should be: each way has a name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Claim(StrEnum):
    """In what the service's account of a batch and its result files differ."""

    TOTAL = "total"
    """`request_counts.total` is not the number of lines that were sent."""
    COMPLETED = "completed"
    """`request_counts.completed` is not the number of good results in the files."""
    FAILED = "failed"
    """`request_counts.failed` is not the number of lines that ran badly in the files."""
    BLANK = "blank"
    """Results without an answer: status code 0, or neither response nor error."""
    DOUBLED = "doubled"
    """A line has more than one result, and they say the same."""
    CONFLICTING = "conflicting"
    """A line has more than one result, and they differ; both lie in the conflicts file."""
    FOREIGN = "foreign"
    """Results for a custom_id that the batch does not have."""
    UNREADABLE = "unreadable"
    """Lines of a result file that are no results."""
    MISSING = "missing"
    """Lines of an ended batch of which its files say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which a batch's results are not as they should be; named, never silent.

    `found` is how many there are, `claimed` what the service says of them where it says something,
    `example` the custom_id of the first where there is one.
    """

    claim: Claim
    found: int
    claimed: int | None = None
    example: str | None = None

    @property
    def words(self) -> str:
        """As it is told to people."""
        text = _WORDS[self.claim].format(found=self.found, claimed=self.claimed)
        return f"{text}, such as {self.example!r}" if self.example is not None else text


_WORDS = {
    Claim.TOTAL: "the service counts {claimed:,} lines where {found:,} were sent",
    Claim.COMPLETED: "the service counts {claimed:,} lines as completed, the files hold {found:,}",
    Claim.FAILED: "the service counts {claimed:,} lines as failed, the files hold {found:,}",
    Claim.BLANK: "{found:,} results hold neither an answer nor an error",
    Claim.DOUBLED: "{found:,} results were there twice",
    Claim.CONFLICTING: "{found:,} results contradict another one of their line",
    Claim.FOREIGN: "{found:,} results are for no line of the batch",
    Claim.UNREADABLE: "{found:,} lines of the files are no results",
    Claim.MISSING: "{found:,} lines have no result",
}
