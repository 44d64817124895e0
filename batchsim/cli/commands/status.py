"""`batchsim status`: where a job stands, by its journal."""

from __future__ import annotations

import click

from batchsim.cli.terminal.exit_codes import ALL_GOOD

SHARDS_SHOWN = 20
"""How many shards are shown without `--all`."""


@click.command()
@click.argument("name", metavar="[JOB]", required=False)
@click.option("--all", "show_all", is_flag=True, help="Show every shard.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, name: str | None, show_all: bool, as_json: bool) -> int:
    """Tell where a job stands, by its journal alone.

    JOB is named by its results file or its job directory; the latest one without a name.

    This reads the job's journal only. It needs no key, asks no service, and may be done while the
    job runs. Exits 0 whatever the job's state is; `batchsim watch` follows it to its end.
    """
    from batchsim.cli.display.job_status import (
        STOPPED,
        description,
        how_to_go_on,
        job_object,
        state_of,
    )
    from batchsim.cli.display.progress import unfound_batches
    from batchsim.cli.jobs.find import find_job
    from batchsim.cli.terminal.output import print_json
    from batchsim.runner.progress.report import unfound

    with find_job(name).reading() as follower:
        if as_json:
            print_json(job_object(follower, with_shards=True))
            return ALL_GOOD
        for line in description(follower, None if show_all else SHARDS_SHOWN):
            click.echo(line)
        for text in unfound_batches(unfound(follower.progress().states)):
            click.echo(text, err=True)
        if state_of(follower) == STOPPED:
            how_to_go_on(follower)
    return ALL_GOOD
