"""`batchsim run`: an input file in, one result per line in input order out."""

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from batchsim.cli.commands.scenarios import faults_in, list_scenarios, scenario_options
from batchsim.cli.options.backend import backend_options, refuse_to_guess
from batchsim.cli.options.groups import JOB_GROUPS, GroupedCommand, examples
from batchsim.cli.options.job import any_model_option, job_option, seed_option
from batchsim.cli.options.policy import policy_options
from batchsim.cli.options.webhooks import Webhooks, wake, webhook_options
from batchsim.cli.running.run_job import carry_out, open_backend
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED
from batchsim.cli.terminal.output import STANDARD_OUTPUT
from batchsim.cli.terminal.stdin import kept_input, move_into
from batchsim.errors import UsageError
from batchsim.runner.policy import Policy


@click.command(
    cls=GroupedCommand,
    groups=JOB_GROUPS,
    epilog=examples(
        "run --fake input.jsonl -o results.jsonl",
        "run --fake input.jsonl -o results.jsonl --scenario expired_partial,rate_limited",
        "run --real input.jsonl -o results.jsonl --max-cost 5",
        "run --real input.jsonl -o results.jsonl --finish-sync --deadline 6h",
    ),
)
@backend_options
@policy_options
@webhook_options
@click.argument("requests", metavar="INPUT")
@click.option(
    "-o",
    "--output",
    metavar="RESULTS",
    help="The file for the results [default, and for -: standard output]. It appears once they are "
    "complete.",
)
@job_option(
    "The directory for the job's journal and downloads [default: RESULTS.job, or INPUT.job]."
)
@seed_option
@scenario_options
@click.option(
    "--skip-invalid",
    is_flag=True,
    help="Leave out invalid lines; each gets an error record. Without it the input is refused.",
)
@any_model_option()
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object about the job; needs -o."
)
def run(
    *,
    backend: str | None,
    requests: str,
    output: str | None,
    job: Path | None,
    seed: int,
    scenario: str,
    plan: Path | None,
    supports: Callable[[str], bool] | None,
    skip_invalid: bool,
    policy: Policy,
    webhooks: Webhooks,
    as_json: bool,
) -> int:
    """Run an input file; write one result per line, in input order.

    INPUT is a JSONL file, or - for standard input.

    The whole input is checked first. If a line is invalid, nothing is sent (but see
    --skip-invalid). The input is cut into as many batches as the limits require. Each result is a
    line of the API's own output or error file. Lines that expired, were cancelled or got lost have
    a record that says so.

    With --fake, --scenario and --faults rehearse what can go wrong, on simulated time.

    Every step is written to a journal: if this stops for any reason, the same command continues.
    On Ctrl-C and SIGTERM a create under way is finished first; a second signal stops at once.
    """
    if scenario == "list":
        list_scenarios()
        return ALL_GOOD
    if backend is None:
        raise refuse_to_guess("run")
    if output == STANDARD_OUTPUT:
        output = None
    if as_json and not output:
        raise UsageError(
            "--json prints on standard output, where the results would go",
            hint="name a file for the results: -o RESULTS",
        )
    rehearses = scenario != "completed" or plan is not None
    if rehearses and backend != "fake":
        raise UsageError(
            "--scenario and --faults are for the fake: a real service fails by itself",
            hint="rehearse with --fake, or leave them out",
        )
    behaviour = {"scenario": scenario, "faults": faults_in(plan)} if rehearses else {}
    from batchsim.runner.run import run as run_job

    with kept_input(requests) as (kept, name), webhooks.received() as notices:
        job = job or Path(f"{output or name}.job")
        results = Path(output) if output else job / "results.jsonl"
        code = carry_out(
            backend,
            partial(open_backend, backend, job / "fake", seed=seed, **behaviour),
            lambda service, observe: run_job(
                move_into(job, kept),
                wake(service, notices),
                results=results,
                job=job,
                supports=supports,
                policy=policy,
                skip_invalid=skip_invalid,
                observe=observe,
                notices=notices,
            ),
            job=job,
            source=kept if isinstance(kept, Path) else None,
            results=results,
            as_json=as_json,
        )
    if not output and code in (ALL_GOOD, SOME_FAILED):
        with results.open("rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()
    return code
