"""`batchsim recover`: a job whose directory is lost, rebuilt from the service's own list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsim.amounts import counted, instant
from batchsim.cli.options.backend import chosen_provider, provider_option, real_backend
from batchsim.cli.options.groups import examples
from batchsim.cli.options.job import any_model_option, job_json_option, job_option, output_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.cli.terminal.output import check_folder
from batchsim.domain.validation.error_explanation import shown
from batchsim.errors import UsageError
from batchsim.jsonl import open_input

if TYPE_CHECKING:
    from batchsim.backends.openai import OpenAIBackend
    from batchsim.runner.adoption.recover import RemoteRun
    from batchsim.runner.planning.plan import Plan


@click.command(
    epilog=examples(
        "recover input.jsonl -o results.jsonl", "run --real input.jsonl -o results.jsonl"
    )
)
@provider_option
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@output_option("The results file of the job.")
@job_option("The directory for the new journal [default: RESULTS.job].")
@click.option(
    "--run", "run_id", metavar="ID", help="The run to rebuild, if the input was run several times."
)
@click.option("--skip-invalid", is_flag=True, help="Give it if the job was begun with it.")
@any_model_option("Give it if the job was begun with it.")
@job_json_option
def recover(
    *,
    source: Path,
    output: Path,
    job: Path | None,
    run_id: str | None,
    skip_invalid: bool,
    supports: Callable[[str], bool] | None,
    as_json: bool,
) -> int:
    """Rebuild a job whose directory is lost, and pay nothing twice.

    Give the input that was sent, unchanged. Its batches are found in the service's list by their
    metadata; nothing is sent. Then `batchsim run` continues the job as if nothing had happened. No
    other runner may work on the job meanwhile: this command believes that its directory is lost.
    """
    from batchsim.cli.display.job_json import print_job
    from batchsim.cli.jobs.job import Begun, Job
    from batchsim.cli.jobs.registry import register
    from batchsim.runner.adoption.recover import write_journal
    from batchsim.runner.job import JobDirectory
    from batchsim.runner.planning.plan import make_plan

    check_folder(output)
    folder = job or Path(f"{output}.job")
    if Job(folder).exists:
        raise UsageError(f"{folder} has a journal", hint="`batchsim run` goes on with it")
    with closing(real_backend()) as backend:
        with open_input(source) as stream:
            plan = make_plan(
                stream,
                path=source,
                limits=backend.limits,
                supports=supports or backend.supports,
                skip_invalid=skip_invalid,
            )
        trace = _chosen(backend, plan, source, run_id)
        state = write_journal(backend, trace, plan, JobDirectory(folder))
        now = backend.clock.now()
    provider = chosen_provider()
    options = {
        "--provider": provider and provider.name,
        "--job": job,
        "--skip-invalid": skip_invalid,
        "--any-model": supports is not None,
    }
    given = [(name, value) for name, value in options.items() if value]
    words = [str(word) for pair in given for word in pair if word is not True]
    begun = Begun.here(source, output, ["run", "--real", str(source), "-o", str(output), *words])
    Job(folder).write_begun(begun)
    register(folder, now)
    found = sum(shard.batch is not None for shard in state.shards.values())
    click.echo(
        f"found {found:,} of {counted(len(state.shards), 'batch')} of run {shown(trace.run)}, "
        f"begun {instant(trace.begun)}; `{begun.command}` goes on with the job",
        err=True,
    )
    if as_json:
        print_job(Job(folder))
    return ALL_GOOD


def _chosen(backend: OpenAIBackend, plan: Plan, source: Path, run_id: str | None) -> RemoteRun:
    """Return the run to recover. Raises UsageError when there is none, or more than one."""
    from batchsim.runner.adoption.recover import is_of_input, remote_runs

    found = remote_runs(backend)
    if run_id is not None:
        found = [trace for trace in found if trace.run == run_id]
    matching = [trace for trace in found if is_of_input(backend, trace, plan)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        others = f"; it shows {len(found):,} of other inputs" if found else ""
        raise UsageError(
            f"no run of {source} is in the list of {backend.service}{others}",
            hint="the input must be the one that was sent, to the byte, and the key of the same "
            "project; `batchsim batches list` shows what there is",
        )
    runs = ", ".join(
        f"{shown(trace.run)} ({counted(len(trace.batches), 'batch')}, begun {instant(trace.begun)})"
        for trace in matching
    )
    raise UsageError(f"{source} was run several times: {runs}", hint="choose one with --run ID")
