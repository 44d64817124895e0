"""How a running job looks: a live table on a terminal, plain lines elsewhere; all on stderr.

Why lines have no good result: the most frequent reasons, each with an example.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Self

import click

from batchsim.amounts import counted, duration
from batchsim.cli.display.log_lines import Told, line
from batchsim.cli.terminal.exit_codes import LONGEST
from batchsim.domain.limits import DAY, HOUR
from batchsim.domain.validation.diagnosis import shown

if TYPE_CHECKING:
    from batchsim.cli.display.job_summary import Outlook
    from batchsim.cli.display.live_table import LiveDisplay
    from batchsim.domain.lines import ResultLine
    from batchsim.runner.progress.report import Progress, Report

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


EXPIRY_WARNING = 5 * DAY
"""So many seconds before results expire at the service this is told."""


class Display:
    """Shows each Progress of one job; a context manager, because a live table must be taken down."""

    def __init__(self, outlook: Outlook | None = None) -> None:
        from batchsim.cli.display.job_summary import Outlook

        self._outlook = outlook or Outlook()
        self._live = _live(self._outlook) if sys.stderr.isatty() else None
        self._told = Told()
        self._has_warned = False
        self._warned = float("-inf")

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.__exit__()

    def show(self, progress: Progress) -> None:
        """Bring the display up to date."""
        self._warn(progress)
        if self._live:
            self._live.show(progress)
            return
        text, self._told = line(self._told, progress)
        if text is not None:
            self._outlook.look(progress)
            click.echo(plain_line(progress, text, self._outlook.left()), err=True)

    def _warn(self, progress: Progress) -> None:
        """Say once that results are about to expire at the service."""
        if self._has_warned or progress.now - self._warned < HOUR:
            return
        self._warned = progress.now
        expires = progress.results_expire
        if expires is None or expires - progress.now > EXPIRY_WARNING:
            return
        self._has_warned = True
        when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M UTC")
        click.echo(
            f"warning: results that are not here yet expire at the service on {when}", err=True
        )

    def conclude(self, report: Report) -> None:
        """Say how the job ended and where its results are."""
        click.echo(summary(report), err=True)
        for reason in reasons(report):
            click.echo(f"  {shown(reason, LONGEST)}", err=True)
        for oddity in oddities(report):
            click.echo(shown(oddity, LONGEST), err=True)
        for text in unfound_batches(report.unfound):
            click.echo(shown(text, LONGEST), err=True)


def plain_line(progress: Progress, text: str, left: str) -> str:
    """One line: the time since the start, what `text` says, how far the lines are, what is left."""
    elapsed = f"{progress.now - progress.started:6.0f} s  "
    counts = f"{progress.done:,} of {counted(progress.lines, 'line')} done"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    return f"{elapsed}{shown(text, LONGEST)}; {counts}{failed}{f', {left}' if left else ''}"


def summary(report: Report) -> str:
    """What became of the lines, in one line."""
    names = ("ok", "failed", "expired", "cancelled", "missing", "invalid")
    counts = [(getattr(report, name), name) for name in names]
    told = ", ".join(f"{number:,} {name}" for number, name in counts if number or name == "ok")
    batches = counted(report.shards, "batch")
    took = duration(report.seconds)
    place = shown(str(report.results), LONGEST)
    resent = f", {counted(report.resent, 'line')} sent again" if report.resent else ""
    return f"{counted(report.lines, 'line')}: {told}; {batches}{resent}, {took}; results in {place}"


MOST_ODDITIES = 20
"""So many differences are told one by one."""

MOST = 5
"""So many batches that were not found are told one by one."""


def oddities(report: Report) -> Iterator[str]:
    """What was not as it should be, one line each."""
    told = [
        f"shard {number}: {difference.words}"
        for number, differences in report.differences.items()
        for difference in differences
    ]
    yield from told[:MOST_ODDITIES]
    if len(told) > MOST_ODDITIES:
        yield f"and {counted(len(told) - MOST_ODDITIES, 'more difference')}, in the journal"
    if report.quarantined:
        have_no_place = counted(
            report.quarantined, "result line that has no place", "result lines that have no place"
        )
        were = "was" if report.quarantined == 1 else "were"
        folder = report.ledger.parent / "shards"
        yield f"{have_no_place} in the results {were} set aside in {folder}"


def unfound_batches(files: Mapping[int, str]) -> Iterator[str]:
    """That batches may exist which the job ended without, and how to have their results."""
    if not files:
        return
    told = ", ".join(f"{file} (shard {number})" for number, file in islice(files.items(), MOST))
    more = f" and {len(files) - MOST:,} more" if len(files) > MOST else ""
    yield f"batches that were not found may exist and run, over the input files {told}{more}"
    one = next(iter(files.values()))
    yield (
        "hint: if one turns up in `batchsim batches list`, its results are had by `batchsim adopt "
        f"--real --alone --input-file-id {one} -o late.jsonl`"
    )


def _live(outlook: Outlook) -> LiveDisplay:
    from batchsim.cli.display.live_table import LiveDisplay

    return LiveDisplay(outlook)
