"""Why lines have no good result: the most frequent reasons, each with an example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from batchsim.amounts import counted

if TYPE_CHECKING:
    from batchsim.domain.lines import ResultLine
    from batchsim.runner.report import Report

MOST_REASONS = 3
"""So many reasons are told; of the others it is said how many there are."""

MOST_CODES = 1_000
"""So many codes are told apart, since a service may make up a new one for each line."""

_LONGEST_CODE = 100
_LONGEST_MESSAGE = 200
_IS_OK = b'"outcome": "ok"'
"""In the ledger it stands only where it means that: quotes inside a custom_id are escaped."""


def reasons(report: Report) -> Iterator[str]:
    """Such as `2 lines: rate_limit_exceeded, such as request-7: Rate limit reached`; none if all is well."""
    if report.all_ok:
        return
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for result in _without_a_good_one(report):
        reason = result.reason
        if reason is None:
            continue
        code = reason.code[:_LONGEST_CODE]
        if code not in counts and len(counts) >= MOST_CODES:
            code = "other reasons"
        counts[code] += 1
        told = f": {reason.message[:_LONGEST_MESSAGE]}" if reason.message else ""
        examples.setdefault(code, f"{result.custom_id}{told}")
    for code, number in counts.most_common(MOST_REASONS):
        yield f"{counted(number, 'line')}: {code}, such as {examples[code]}"
    if (others := len(counts) - MOST_REASONS) > 0:
        lines = sum(number for _, number in counts.most_common()[MOST_REASONS:])
        yield f"{counted(lines, 'line')}: {counted(others, 'other reason')}"


def _without_a_good_one(report: Report) -> Iterator[ResultLine]:
    """The results of the lines that the ledger, line by line beside them, does not call ok."""
    import orjson

    from batchsim.domain.lines import ResultLine
    from batchsim.jsonl import read_lines

    try:
        with report.ledger.open("rb") as ledger, report.results.open("rb") as results:
            for account, result in zip(read_lines(ledger), read_lines(results), strict=False):
                if _IS_OK in account.content:
                    continue
                try:
                    yield ResultLine.from_object(orjson.loads(result.content))
                except ValueError:
                    continue  # what a service wrote is kept as it is, readable or not
    except OSError:
        return  # they were moved away meanwhile; how many failed has been said
