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
from batchsim.verdict import line_rules, request_rules
from batchsim.verdict.analysis import Analysis as Analysis
from batchsim.verdict.analysis import LineOutcome as LineOutcome
from batchsim.verdict.findings import Finding as Finding
from batchsim.verdict.findings import Verdict as Verdict

Rule = Callable[[Analysis], Finding | None]

RULES: tuple[Rule, ...] = (  # in the order of findings: those that cost money first
    line_rules.creates_twice,
    line_rules.sends_running_lines_again,
    line_rules.sends_good_lines_again,
    line_rules.drops_results,
    line_rules.drops_partial_results,
    line_rules.never_reads_error_file,
    line_rules.sends_nothing_again,
    request_rules.polls_too_often,
    request_rules.ignores_retry_after,
    request_rules.meets_known_limits,
    request_rules.loads_all_in_memory,
    request_rules.leaves_batches,
    request_rules.leaves_files,
)

CODES = tuple(rule.__name__ for rule in RULES)  # of all findings


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
