"""A job as one JSON object with a stable schema.

`run`, `status`, `jobs`, `watch`, `cancel`, `results` and `recover` print it with `--json`. Keys are
added, never removed or given another meaning. Times are unix seconds on the job's own clock, money
is in US dollars, and null stands for what is not known.
"""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from batchsim.cli.terminal.output import print_json
from batchsim.runner.journal.job_entries import Tally

if TYPE_CHECKING:
    from batchsim.cli.jobs.job import Job, JobView
    from batchsim.runner.progress.job_summary import ShardSummary


def job_object(view: JobView, *, with_shards: bool = False) -> dict[str, Any]:
    """Return the job as a JSON object; `with_shards` adds `by_shard`, one object for each."""
    summary = view.summary
    progress, spent, usage = summary.progress, summary.spent, summary.usage
    start, finished = progress.start, progress.finished
    value: dict[str, Any] = {
        "job": os.path.realpath(view.path),
        "state": view.state,
        "service": start.service if start else "",
        "run": start.run if start else None,
        "input": view.begun.input,
        "results": os.path.realpath(view.results),
        "command": view.begun.command,
        "begun_at": progress.started,
        "updated_at": progress.now,
        "finished_at": progress.finished_at,
        "lines": progress.lines,
        "done": progress.done,
        "failed": progress.failed,
        "outcomes": outcomes(finished.tally) if finished else None,
        "unfound": progress.unfound,
        "rounds": progress.rounds,
        "shards": progress.shards,
        "batches": dict(progress.batches),
        "usage": {**usage._asdict(), "total_tokens": usage.total_tokens},
        "spent_usd": None if spent is None else float(spent),
        "reserved_usd": float(summary.reserved),
        "seconds_left": summary.seconds_left,
    }
    if with_shards:
        value["by_shard"] = [_shard_object(each, progress.now) for each in summary.shards]
    return value


def _shard_object(summary: ShardSummary, now: float) -> dict[str, Any]:
    shard = summary.progress
    return {
        "shard": shard.shard,
        "batch_id": shard.batch_id,
        "endpoint": shard.endpoint,
        "model": shard.model,
        "stage": str(shard.stage),
        "status": shard.status,
        "lines": shard.lines,
        "done": shard.done,
        "failed": shard.failed,
        "created_at": shard.created_at,
        "expires_at": shard.expires_at,
        "seconds_left": summary.forecast.seconds_left(now),
    }


def outcomes(tally: Tally) -> dict[str, int]:
    return {each.name: getattr(tally, each.name) for each in fields(Tally) if each.name != "usage"}


def print_job(job: Job) -> None:
    print_json(job_object(job.view()))
