"""`batchsim status`: where a job stands, by its journal."""

import click

from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.exit_codes import ALL_GOOD

SHARDS_SHOWN = 20


@click.command(epilog=examples("status results.jsonl", "status --all --json results.jsonl"))
@click.argument("name", metavar="[JOB]", required=False)
@click.option("--all", "show_all", is_flag=True, help="Show every shard.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, name: str | None, show_all: bool, as_json: bool) -> int:
    """Show how far a job is.

    Name the JOB by its results file or its job directory; without a name it is the latest one.

    This reads the job's journal only. It needs no key, asks no service, and does not disturb a
    runner. Exits 0 whatever the state of the job is; `batchsim watch` follows it to its end.
    """
    from batchsim.cli.display.job_json import job_object
    from batchsim.cli.display.job_text import description, unfound_batches
    from batchsim.cli.jobs.find import find_job
    from batchsim.cli.jobs.job import STOPPED
    from batchsim.cli.terminal.output import print_json

    view = find_job(name).view()
    if as_json:
        print_json(job_object(view, with_shards=True))
        return ALL_GOOD
    for line in description(view, None if show_all else SHARDS_SHOWN):
        click.echo(line)
    for text in unfound_batches(view.summary.progress.unfound):
        click.echo(text, err=True)
    if view.state == STOPPED:
        click.echo(f"hint: {view.begun.continued_by} goes on with it", err=True)
    return ALL_GOOD
