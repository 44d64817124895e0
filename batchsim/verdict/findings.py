"""Finding and Verdict: the judgement of a client, for its author."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from batchsim.amounts import counted

MOST_EVIDENCE = 5  # Pieces of evidence that a finding keeps. The rest is counted.


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake of the client.

    `code` is its stable name, one of batchsim.verdict.CODES. `what` says it in a sentence.
    `evidence` holds the requests or batches that show it, and `remedy` says what to do.
    """

    code: str
    what: str
    evidence: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}", *(f"  - {each}" for each in self.evidence)]
        return "\n".join([*lines, f"  remedy: {self.remedy}"])


def finding(code: str, what: str, evidence: Iterable[str], remedy: str) -> Finding | None:
    """Make a finding of that evidence, None without any."""
    found = list(evidence)
    if not found:
        return None
    kept = found[:MOST_EVIDENCE]
    if len(found) > MOST_EVIDENCE:
        kept.append(f"and {len(found) - MOST_EVIDENCE:,} more")
    return Finding(code, what, tuple(kept), remedy)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings about a client, from its `requests` so far.

    `unjudged` says what could not be judged, and why.
    """

    findings: tuple[Finding, ...]
    requests: int
    unjudged: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.findings

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(each.code for each in self.findings)

    def assert_clean(self, *, allow: Collection[str] = ()) -> None:
        """Fail with the verdict in words if a finding's code is not in `allow`."""
        __tracebackhide__ = True
        if isinstance(allow, str):
            allow = (allow,)
        if any(each.code not in allow for each in self.findings):
            raise AssertionError(str(self))

    def summary(self) -> str:
        number, requests = len(self.findings), counted(self.requests, "request")
        if not number:
            return f"verdict on {requests}: clean"
        return f"verdict on {requests}: {counted(number, 'finding')}: {', '.join(self.codes)}"

    def to_object(self) -> dict[str, Any]:
        return {
            "object": "batchsim.verdict",
            "requests": self.requests,
            "is_clean": self.is_clean,
            "findings": [
                {**asdict(each), "evidence": list(each.evidence)} for each in self.findings
            ],
            "unjudged": list(self.unjudged),
        }

    def __str__(self) -> str:
        notes = [f"not judged: {each}" for each in self.unjudged]
        return "\n".join([self.summary(), *map(str, self.findings), *notes])
