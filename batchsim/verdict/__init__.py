"""The verdict on a client: its mistakes, with evidence and remedies.

    verdict = batchsim.verdict.judge(fake.history())
    print(verdict)

In comes the History of a FakeBackend. Out comes a Verdict of Findings. Rules are pure functions of
an Analysis. A verdict cannot see whether a client relies on the order of the results, which is not
in its requests; `batchsim.check_pipeline` can.
"""

from collections.abc import Callable

from batchsim.amounts import counted
from batchsim.backends.fake.log import History
from batchsim.verdict.analysis import Analysis as Analysis
from batchsim.verdict.analysis import LineOutcome as LineOutcome
from batchsim.verdict.findings import Finding as Finding
from batchsim.verdict.findings import Verdict as Verdict
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

Rule = Callable[[Analysis], Finding | None]

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
"""In the order of findings: those that cost money first."""

CODES = tuple(rule.__name__ for rule in RULES)
"""The codes of all findings. Each is the name of its rule."""


def judge(history: History) -> Verdict:
    analysis = Analysis(history)
    findings = [found for rule in RULES if (found := rule(analysis)) is not None]
    return Verdict(tuple(findings), history.requests, tuple(_unjudged(analysis)))


def _unjudged(analysis: Analysis) -> list[str]:
    told = []
    if analysis.history.forgotten:
        requests = counted(analysis.history.forgotten, "request: it is", "requests: they are")
        told.append(f"the first {requests} forgotten by now")
    if analysis.forgotten_lines:
        batches = counted(analysis.forgotten_lines, "batch", "batches")
        told.append(f"the lines of {batches}: they are not known any more")
    return told
