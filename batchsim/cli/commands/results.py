"""`batchsim results`: the results of a finished job once more."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from batchsim.amounts import counted
from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.output import STANDARD_OUTPUT, print_json, refuse_to_overwrite
from batchsim.errors import JobIncomplete
from batchsim.jsonl import read_lines, replace_file

if TYPE_CHECKING:
    from batchsim.cli.jobs.job import Follower, JobView


@click.command(
    epilog=examples("results results.jsonl", "results --failed results.jsonl -o failed.jsonl")
)
@click.argument("name", metavar="JOB")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    default=STANDARD_OUTPUT,
    help="Write to this file [default: standard output].",
)
@click.option("--failed", is_flag=True, help="Only the lines without a good result.")
@click.option(
    "--partial", is_flag=True, help="Of an unfinished job, give what has been collected so far."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object about the job instead."
)
def results(
    *, name: str, output: str, failed: bool, partial: bool, force: bool, as_json: bool
) -> int:
    """Print the results of a job again, in input order.

    Name the JOB by its results file or its job directory.

    If the results file is gone, the results are put together again from the job directory. No
    service is asked. Exits as `batchsim run` does: 1 if a line failed, 75 if the job is not
    finished.
    """
    from batchsim.cli.display.job_json import job_object
    from batchsim.cli.jobs.find import find_job

    with find_job(name).reading() as follower:
        view = follower.view()
        if as_json:
            print_json(job_object(view))
            return view.code
        if follower.state.finished is None and not partial:
            raise _unfinished(view)
        with closing(_lines(follower)) as lines:
            chosen = (line for line in lines if not (failed and _is_good(line)))
            if output == STANDARD_OUTPUT:
                _write(chosen, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                path = Path(output)
                refuse_to_overwrite(path, force=force)
                with replace_file(Path(os.path.realpath(path))) as stream:
                    _write(chosen, stream)
        return view.code


def _lines(follower: Follower) -> Generator[bytes, None, None]:
    """Yield the result lines: of the file if it is whole, else of the shards."""
    from batchsim.runner.job import JobDirectory
    from batchsim.runner.results.merge_rounds import MergedRounds

    state, path = follower.state, follower.job.results
    finished = state.finished
    if finished and finished.is_whole(path):
        with path.open("rb") as stream:
            yield from (line.content for line in read_lines(stream))
        return
    collected = [shard.plan for shard in state.shards.values() if shard.tally is not None]
    with MergedRounds(collected, JobDirectory(follower.job.path)) as merged:
        for stretch in merged.stretches():
            yield from merged.contents(stretch.lines)


def _write(lines: Iterable[bytes], target: BinaryIO) -> None:
    for line in lines:
        target.write(line + b"\n")


def _is_good(line: bytes) -> bool:
    import orjson

    from batchsim.domain.lines import ResultLine

    try:
        return ResultLine.from_object(orjson.loads(line)).is_ok
    except ValueError:
        return False


def _unfinished(view: JobView) -> JobIncomplete:
    progress = view.summary.progress
    lines = counted(progress.lines, "line is", "lines are")
    return JobIncomplete(
        f"the job is not finished: {progress.done:,} of {lines} done",
        hint=f"{view.begun.continued_by} goes on with it; --partial gives what has been collected",
    )
