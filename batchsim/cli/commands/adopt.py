"""`batchsim adopt`: batches that others made are finished as a job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsim.amounts import counted
from batchsim.cli.options.backend import backend_options, refuse_to_guess
from batchsim.cli.options.groups import JOB_GROUPS, GroupedCommand, examples
from batchsim.cli.options.job import any_model_option, job_json_option, job_option, output_option
from batchsim.cli.options.policy import policy_options
from batchsim.cli.options.webhooks import Webhooks, wake, webhook_options
from batchsim.cli.running.run_job import carry_out, open_backend
from batchsim.errors import UsageError
from batchsim.runner.policy import Policy

if TYPE_CHECKING:
    from batchsim.runner.adoption.adopt import Adopted


@click.command(
    cls=GroupedCommand,
    groups=JOB_GROUPS,
    epilog=examples(
        "adopt --real batch_abc123 batch_def456 -o results.jsonl",
        "adopt --real --metadata project=summer --input input.jsonl -o results.jsonl",
    ),
)
@backend_options
@policy_options
@webhook_options
@click.argument("batch_ids", metavar="[BATCH_ID]...", nargs=-1)
@output_option("The file for the results. It appears once they are complete.")
@click.option(
    "--metadata",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    help="Take over every batch with this metadata too. May be repeated; then all must match.",
)
@click.option(
    "--input-file-id", metavar="FILE_ID", help="Take over every batch of this input file too."
)
@click.option(
    "--input",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The input from which the batches were made. The results get its order. A line with "
    "another body than was sent is refused. Lines that are in no batch are sent; this costs money.",
)
@job_option("The directory for the job's journal and downloads [default: RESULTS.job].")
@click.option(
    "--store",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="With --fake: the folder in which a fake kept the batches.",
)
@any_model_option()
@job_json_option
def adopt(
    *,
    backend: str | None,
    batch_ids: tuple[str, ...],
    output: Path,
    pairs: tuple[str, ...],
    input_file_id: str | None,
    source: Path | None,
    job: Path | None,
    store: Path | None,
    supports: Callable[[str], bool] | None,
    policy: Policy,
    webhooks: Webhooks,
    as_json: bool,
) -> int:
    """Take over batches that another tool made, and finish them.

    Name the batches by their ids, by metadata or by their input file. Their input files become the
    input of a job. The job goes on as one of `batchsim run`: it watches the batches, downloads the
    results, puts them in order, and sends again what is worth another try (--retries 0: nothing).
    Lines with a good result are never sent again. A line that is in several batches is one line;
    the result of the later batch counts as another try.

    If the input file of a batch is gone and no --input is given, its results come in the order of
    its output, and nothing of it is sent again.

    If this stops for any reason, the same command continues.
    """
    if backend is None:
        raise refuse_to_guess("adopt")
    if not (batch_ids or pairs or input_file_id):
        raise UsageError(
            "no batch is named", hint="give ids, --metadata KEY=VALUE or --input-file-id FILE_ID"
        )
    if backend == "fake" and store is None:
        raise UsageError(
            "a new simulator has no batches to adopt", hint="name the folder of one: --store DIR"
        )
    from batchsim.runner.adoption.adopt import BatchFilter
    from batchsim.runner.adoption.adopt import adopt as adopt_batches

    job = job or Path(f"{output}.job")
    start = partial(
        adopt_batches,
        BatchFilter(ids=batch_ids, metadata=_metadata(pairs), input_file_id=input_file_id),
        results=output,
        job=job,
        source=source,
        supports=supports,
        policy=policy,
        announce=_announce,
    )
    with webhooks.received() as notices:
        return carry_out(
            backend,
            partial(open_backend, backend, store or job),
            lambda service, observe: start(
                wake(service, notices), observe=observe, notices=notices
            ),
            job=job,
            source=source,
            results=output,
            as_json=as_json,
        )


def _metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    for key, equals, _ in split:
        if not key or not equals:
            raise UsageError(f"--metadata {key!r} is no pair", hint="it looks like project=summer")
    return {key: value for key, _, value in split}


def _announce(adopted: Adopted) -> None:
    batches, lines = len(adopted.batches), adopted.lines - adopted.unsent
    click.echo(f"took over {counted(batches, 'batch')} with {counted(lines, 'line')}", err=True)
    if adopted.unsent:
        one, several = "line of the input is", "lines of the input are"
        unsent = counted(
            adopted.unsent, f"{one} in no batch and is", f"{several} in no batch and are"
        )
        click.echo(f"{unsent} sent", err=True)
    for batch in adopted.unknown:
        click.echo(
            f"the input of {batch} is gone: its results come in the order of its output, and "
            "nothing of it is sent again",
            err=True,
        )
