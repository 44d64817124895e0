"""A job in words: its facts, its money, its time left, and its shards as a table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from batchsim.amounts import counted, duration, instant, money
from batchsim.cli.display.job_json import outcomes
from batchsim.cli.jobs.job import RUNNING, JobView
from batchsim.cli.terminal.output import near
from batchsim.cli.terminal.table import columns, details, table
from batchsim.runner.job import Stage
from batchsim.runner.progress.job_summary import JobSummary, ShardSummary

COLUMNS = columns(
    ">SHARD", "BATCH", "MODEL", "STATUS", ">LINES", ">DONE", ">FAILED", ">RATE", ">TIME LEFT"
)

MOST_UNFOUND = 5
_RANKS = {Stage.LIVE: 0, Stage.CREATING: 0, Stage.WAITING: 2, Stage.COLLECTED: 3}
_OTHER_RANK = 1


def description(view: JobView, most_shards: int | None) -> Iterator[str]:
    """Yield the job in words, with a table of at most so many shards (all for None)."""
    yield from details([(name, text) for name, text in _facts(view) if text])
    shown, rest = split(view.summary.shards, most_shards)
    yield ""
    yield from table(COLUMNS, (row(shard, view.summary.progress.now) for shard in shown))
    if rest:
        yield f"{rest}; --all shows them"


def _facts(view: JobView) -> Iterator[tuple[str, str]]:
    summary, progress = view.summary, view.summary.progress
    ended = outcomes(progress.finished.tally) if progress.finished else {}
    yield "job", near(view.path)
    yield "service", progress.start.service if progress.start else ""
    yield "state", state_text(view)
    yield "begun", instant(int(progress.started))
    yield "last news", instant(int(progress.now))
    yield "lines", f"{progress.done:,} of {progress.lines:,} done, {progress.failed:,} failed"
    yield "outcomes", ", ".join(f"{count:,} {name}" for name, count in ended.items() if count)
    yield "batches", by_status(summary.shards)
    yield "money", money_text(summary)
    yield "time left", left_text(summary)
    yield "results", near(view.results) if progress.finished else ""


def state_text(view: JobView) -> str:
    if view.state == RUNNING and view.runner is not None:
        return f"running: process {view.runner.pid} on {view.runner.host} is at work"
    return view.state


def whole_job(summary: JobSummary) -> str:
    progress = summary.progress
    parts = [
        f"{progress.done:,} of {counted(progress.lines, 'line')} done",
        f"{progress.failed:,} failed" if progress.failed else "",
        _rate(summary.rate),
        left_text(summary),
        money_text(summary),
    ]
    return ", ".join(part for part in parts if part)


def money_text(summary: JobSummary) -> str:
    spent, reserved = summary.spent, summary.reserved
    text = "spent: unknown, a price is not listed" if spent is None else f"{money(spent)} spent"
    return f"{text}, at most {money(reserved)} reserved" if reserved else text


def left_text(summary: JobSummary) -> str:
    return f"about {duration(summary.seconds_left)} left" if summary.seconds_left else ""


def row(summary: ShardSummary, now: float) -> tuple[str, ...]:
    shard, forecast = summary.progress, summary.forecast
    left = forecast.seconds_left(now) if shard.is_running else None
    return (
        str(shard.shard),
        shard.batch_id or "",
        shard.model or "",
        shard.status,
        f"{shard.lines:,}",
        f"{shard.done:,}",
        f"{shard.failed:,}",
        _rate(forecast.rate),
        duration(left) if left else "",
    )


def split(shards: Sequence[ShardSummary], most: int | None) -> tuple[list[ShardSummary], str]:
    """Return at most so many shards, those at work first, and how the others are summed up."""
    if most is None or len(shards) <= most:
        return [*shards], ""
    ranked = sorted(shards, key=_rank)
    rest = ranked[most:]
    shown = sorted(ranked[:most], key=lambda each: each.progress.shard)
    return shown, f"and {len(rest):,} more: {by_status(rest)}"


def by_status(shards: Iterable[ShardSummary]) -> str:
    """Return such as `2 in_progress, 1 waiting`."""
    return counts_text(Counter(each.progress.status for each in shards))


def counts_text(counts: Mapping[str, int]) -> str:
    """Return counts by name in the order of the names."""
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))


def unfound_batches(files: Mapping[int, str]) -> Iterator[str]:
    """Yield a warning about batches that may exist and were given up, and what to do about it."""
    if not files:
        return
    named = ", ".join(
        f"{file} (shard {number})" for number, file in islice(files.items(), MOST_UNFOUND)
    )
    more = f" and {len(files) - MOST_UNFOUND:,} more" if len(files) > MOST_UNFOUND else ""
    yield f"batches that were not found may exist and run, over the input files {named}{more}"
    one = next(iter(files.values()))
    yield (
        "hint: if one turns up in `batchsim batches list`, its results are had by `batchsim adopt "
        f"--real --alone --input-file-id {one} -o late.jsonl`"
    )


def _rank(summary: ShardSummary) -> tuple[int, int]:
    return _RANKS.get(summary.progress.stage, _OTHER_RANK), summary.progress.shard


def _rate(lines_per_second: float) -> str:
    if not lines_per_second:
        return ""
    if lines_per_second >= 1:
        return f"{lines_per_second:,.1f} lines/s"
    return f"{lines_per_second * 60:,.1f} lines/min"
