"""`batchsim guide`: the chapters of the guide, in the terminal."""

import re
import sys
from importlib.resources import files

import click

from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.cli.terminal.table import columns, table
from batchsim.errors import UsageError

CHAPTERS = (
    "start", "input", "run", "jobs", "services", "never-pay-twice", "python", "testing", "faults",
    "prove", "serve", "scripts", "ci", "lifecycle", "design"
)  # fmt: skip
"""The chapters in the order in which they are read; each is a Markdown file in batchsim/guide."""

_COLUMNS = columns("CHAPTER", "ABOUT")
_LINK = re.compile(r"\[([^\]]+)\]\([\w./-]+\.(?:md|toml)\)")


def _complete(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    return [name for name in CHAPTERS if name.startswith(begun)]


@click.command(epilog=examples("guide", "guide run"))
@click.argument("chapter", required=False, shell_complete=_complete)
def guide(*, chapter: str | None) -> int:
    """Read the guide: its chapters, or one of them.

    Without CHAPTER it lists the chapters. On a terminal a chapter is formatted; elsewhere it is
    printed as Markdown, so `batchsim guide run > run.md` keeps it.
    """
    if chapter is None:
        for line in table(_COLUMNS, ((name, _title(name)) for name in CHAPTERS)):
            click.echo(line)
        return ALL_GOOD
    if chapter not in CHAPTERS:
        raise UsageError(
            f"the guide has no chapter '{chapter}'", hint=f"choose one of {', '.join(CHAPTERS)}"
        )
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(_LINK.sub(r"`\1`", _text(chapter))))
    else:
        click.echo(_text(chapter), nl=False)
    return ALL_GOOD


def _text(chapter: str) -> str:
    return (files("batchsim") / "guide" / f"{chapter}.md").read_text("utf-8")


def _title(chapter: str) -> str:
    return _text(chapter).partition("\n")[0].removeprefix("# ")
