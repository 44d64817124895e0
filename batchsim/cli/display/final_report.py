"""The end of a run on stderr: counts, why lines have no good result, and what was odd."""

from collections import Counter
from collections.abc import Iterator

import click

from batchsim.amounts import counted, duration
from batchsim.cli.display.job_text import unfound_batches
from batchsim.cli.terminal.exit_codes import LONGEST
from batchsim.domain.lines import ResultLine
from batchsim.domain.validation.error_explanation import shown
from batchsim.runner.progress import Report

MOST_REASONS = 3
MOST_CODES = 1_000
"""So many codes are counted apart, since a service may make up a new one for each line."""

MOST_ODDITIES = 20
_LONGEST_CODE = 100
_LONGEST_MESSAGE = 200
_IS_OK = b'"outcome": "ok"'
"""In the ledger it stands only where it means that: quotes inside a custom_id are escaped."""


def print_report(report: Report) -> None:
    click.echo(summary(report), err=True)
    for reason in reasons(report):
        click.echo(f"  {shown(reason, LONGEST)}", err=True)
    for text in (*oddities(report), *unfound_batches(report.unfound)):
        click.echo(shown(text, LONGEST), err=True)


def summary(report: Report) -> str:
    names = ("ok", "failed", "expired", "cancelled", "missing", "invalid")
    counts = [(getattr(report, name), name) for name in names]
    outcomes = ", ".join(f"{number:,} {name}" for number, name in counts if number or name == "ok")
    resent = f", {counted(report.resent, 'line')} sent again" if report.resent else ""
    batches, took = counted(report.shards, "batch"), duration(report.seconds)
    path = shown(str(report.results), LONGEST)
    return (
        f"{counted(report.lines, 'line')}: {outcomes}; {batches}{resent}, {took}; results in {path}"
    )


def reasons(report: Report) -> Iterator[str]:
    """Yield such as `2 lines: rate_limit_exceeded, such as request-7: Rate limit reached`."""
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
        message = f": {reason.message[:_LONGEST_MESSAGE]}" if reason.message else ""
        examples.setdefault(code, f"{result.custom_id}{message}")
    for code, number in counts.most_common(MOST_REASONS):
        yield f"{counted(number, 'line')}: {code}, such as {examples[code]}"
    if (others := len(counts) - MOST_REASONS) > 0:
        lines = sum(number for _, number in counts.most_common()[MOST_REASONS:])
        yield f"{counted(lines, 'line')}: {counted(others, 'other reason')}"


def _without_a_good_one(report: Report) -> Iterator[ResultLine]:
    """Yield the results of lines that are not ok in the ledger, which has the same order."""
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
                    continue  # a service's bytes are kept as they are, readable or not
    except OSError:
        return  # the files were moved away meanwhile; how many failed has been said


def oddities(report: Report) -> Iterator[str]:
    found = [
        f"shard {number}: {difference.words}"
        for number, differences in report.differences.items()
        for difference in differences
    ]
    yield from found[:MOST_ODDITIES]
    if len(found) > MOST_ODDITIES:
        yield f"and {counted(len(found) - MOST_ODDITIES, 'more difference')}, in the journal"
    if report.quarantined:
        belong_to_none = counted(
            report.quarantined,
            "result line that belongs to no line of the input was set aside",
            "result lines that belong to no line of the input were set aside",
        )
        yield f"{belong_to_none} in {report.ledger.parent / 'shards'}"
