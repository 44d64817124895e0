"""The verdict on a client: what it does wrong, by what it asked of a FakeBackend.

    verdict = batchsim.verdict.judge(fake.history())
    print(verdict)

Rules are pure functions over a History (on_lines, on_requests). Whether a client relies on the order of the
results cannot be seen in its requests: `batchsim.check_pipeline` tells it.
"""

from __future__ import annotations

from collections.abc import Callable

from batchsim.amounts import counted
from batchsim.backends.fake.log.history import History
from batchsim.verdict.findings import Finding as Finding
from batchsim.verdict.findings import Verdict as Verdict
from batchsim.verdict.line_fates import Case
from batchsim.verdict.line_rules import (
    creates_twice,
    drops_partial_results,
    drops_results,
    never_reads_error_file,
    sends_good_lines_again,
    sends_nothing_again,
    sends_running_lines_again,
)
from batchsim.verdict.request_rules import (
    ignores_retry_after,
    leaves_batches,
    leaves_files,
    loads_all_in_memory,
    meets_known_limits,
    polls_too_often,
)

Rule = Callable[[Case], Finding | None]

RULES: tuple[Rule, ...] = (
    creates_twice,
    sends_running_lines_again,
    sends_good_lines_again,
    drops_results,
    drops_partial_results,
    never_reads_error_file,
    sends_nothing_again,
    polls_too_often,
    ignores_retry_after,
    meets_known_limits,
    loads_all_in_memory,
    leaves_batches,
    leaves_files,
)
"""In the order in which findings are told: what costs money first."""

CODES = tuple(rule.__name__ for rule in RULES)
"""The codes of all findings: each is named after its rule."""


def judge(history: History) -> Verdict:
    """The verdict on the client whose history this is."""
    case = Case(history)
    findings = [found for rule in RULES if (found := rule(case)) is not None]
    return Verdict(tuple(findings), history.requests, tuple(_unjudged(case)))


def _unjudged(case: Case) -> list[str]:
    told = []
    if case.history.forgotten:
        requests = counted(case.history.forgotten, "request: it is", "requests: they are")
        told.append(f"the first {requests} forgotten by now")
    if case.forgotten_lines:
        batches = counted(case.forgotten_lines, "batch", "batches")
        told.append(f"the lines of {batches}: they are not known any more")
    return told
