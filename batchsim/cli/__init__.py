"""The command line: one file per command; stdout is data, stderr is talk.

Exit codes: 0 every line has a good result; 1 finished, some lines failed; 2 wrong usage or bad
input, nothing was sent; 75 stopped, the same command continues; 130 interrupted; 141 nobody read
the output to its end.
"""

import sys
from importlib import import_module
from typing import Any

import click

from batchsim import __version__
from batchsim.cli.terminal.exit_codes import INTERRUPTED, explain
from batchsim.cli.terminal.process import (
    discard_output,
    fill_closed_streams,
    interrupted_by_any_signal,
)
from batchsim.errors import BatchsimError

GROUPS = {
    "Start here": {
        "demo": "Replay a batch of April 2024: three sentences into English.",
        "guide": "Read the guide: its chapters, or one of them.",
    },
    "Input files": {
        "validate": "Find what the API would refuse in an input file.",
        "estimate": "Estimate the tokens, the price and the time of an input file.",
    },
    "Jobs": {
        "run": "Run an input file; write one result per line, in input order.",
        "adopt": "Take over batches that another tool made, and finish them.",
        "status": "Show how far a job is.",
        "watch": "Follow a job to its end.",
        "cancel": "End a job early: nothing more is sent, what is done is kept.",
        "results": "Print the results of a job again, in input order.",
        "jobs": "List the jobs begun on this machine, the latest first.",
        "recover": "Rebuild a job whose directory is lost, and pay nothing twice.",
    },
    "The service": {
        "batches": "List, show and cancel the batches of a service.",
        "files": "List, show, download and delete the files of a service.",
        "doctor": "Check the key, the network and this machine.",
    },
    "The fake API": {
        "serve": "Serve the fake API over HTTP, to any OpenAI client.",
        "scenarios": "List how the fake can behave: for serve, demo and tests.",
        "record": "Pass requests on to a real service, and record its answers.",
    },
}
"""The commands by groups, each in a module of its own name, and the first sentence of its help.

They stand here so that listing them imports none.
"""

SUMMARIES = {name: text for group in GROUPS.values() for name, text in group.items()}


class _ReaderGone(Exception):
    """The reader of our output has gone. An OSError would make click end by itself, with 1."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        return [*SUMMARIES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click gives it
        if cmd_name not in SUMMARIES:
            return None
        command: click.Command = getattr(
            import_module(f"batchsim.cli.commands.{cmd_name}"), cmd_name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click gives it
        longest = max(map(len, SUMMARIES))
        room = formatter.width - 6 - longest
        for heading, group in GROUPS.items():
            rows = [
                (f"{name:<{longest}}", click.Command(name, help=text).get_short_help_str(room))
                for name, text in group.items()
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `batchsim demo`: it shows the whole flow in a second, without a key. "
    "`batchsim COMMAND --help` explains a command, and `batchsim guide` is the manual.",
)
@click.version_option(__version__)
def command_line() -> None:
    """The OpenAI Batch API in your process, and a runner for the real one.

    A batch takes a JSONL file of requests, runs them within 24 hours at half price, and gives
    the results back in no promised order. batchsim runs the same job on a fake (--fake) or on the
    real service (--real), and writes the results in input order.
    """


def main() -> None:
    """Run the command line and exit with its code. Only a bug shows a traceback."""
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
        code = int(command_line.main(standalone_mode=False) or 0)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except BatchsimError as error:
        code = explain(error)
    except _ReaderGone as gone:
        raise BrokenPipeError from gone
    return code
