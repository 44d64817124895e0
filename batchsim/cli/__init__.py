"""The command line: one file per command; stdout is data, stderr is talk.

Exit codes: 0 every line has a good result; 1 finished, some lines failed; 2 wrong usage or bad input,
nothing was sent; 75 stopped, the same command continues; 130 interrupted.
"""

from __future__ import annotations

import sys

import click

from batchsim.cli.adopt import adopt
from batchsim.cli.batches import batches
from batchsim.cli.bench import bench
from batchsim.cli.cancel import cancel
from batchsim.cli.demo import demo
from batchsim.cli.estimate import estimate
from batchsim.cli.failures import INTERRUPTED, explain
from batchsim.cli.files import files
from batchsim.cli.jobs import jobs
from batchsim.cli.recover import recover
from batchsim.cli.results import results
from batchsim.cli.run import run
from batchsim.cli.scenarios import scenarios
from batchsim.cli.serve import serve
from batchsim.cli.status import status
from batchsim.cli.surroundings import (
    discard_output,
    fill_closed_streams,
    interrupted_by_any_signal,
)
from batchsim.cli.validate import validate
from batchsim.cli.watch import watch
from batchsim.errors import BatchsimError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `batchsim demo`: it shows the whole flow in a second, without a key.",
)
@click.version_option(package_name="batchsim")
def commands() -> None:
    """The OpenAI Batch API in your process, and a runner for the real one.

    A batch takes a JSONL file of requests, runs them within 24 hours at half price, and gives
    the results back in no promised order. batchsim runs the same job on a simulator (--fake) or
    on the real service (--real) and writes the results in input order.
    """


for command in (
    adopt,
    batches,
    bench,
    cancel,
    demo,
    estimate,
    files,
    jobs,
    recover,
    results,
    run,
    scenarios,
    serve,
    status,
    validate,
    watch,
):
    commands.add_command(command)


def main() -> None:
    """Run the command line and exit with its code; a user's or a server's fault shows no traceback."""
    fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with interrupted_by_any_signal():
            code = _run()
    except OSError as error:
        # Whoever read our output has gone, or its disk is full; Python would complain once more
        # when it flushes at exit.
        code = discard_output(error)
    sys.exit(code)


def _run() -> int:
    try:
        code = int(commands.main(standalone_mode=False) or 0)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except BatchsimError as error:
        code = explain(error)
    return code
