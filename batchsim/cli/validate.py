"""`batchsim validate`: what the API would say about an input file, with what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import click

from batchsim.amounts import counted
from batchsim.cli.failures import ALL_GOOD, BAD_INPUT
from batchsim.cli.findings import Finding, findings
from batchsim.cli.output import print_json
from batchsim.cli.standard_input import STANDARD_INPUT, opened_input
from batchsim.domain.diagnosis import shown
from batchsim.domain.endpoints import ENDPOINTS, is_openai_model
from batchsim.domain.validation import InputRules
from batchsim.errors import InputError

SHOWN = 20
"""How many errors are printed without `--all`."""

LONG = 50_000_000
"""From so many bytes on, a progress bar is shown on a terminal."""


@click.command()
@click.argument("source", metavar="INPUT")
@click.option("--all", "show_all", is_flag=True, help=f"Print every error, not the first {SHOWN}.")
@click.option(
    "--endpoint",
    type=click.Choice(list(ENDPOINTS)),
    metavar="PATH",
    help="The batch's endpoint [default: that of the first valid line].",
)
@click.option("--any-model", is_flag=True, help="Accept models that are not OpenAI's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
def validate(
    source: str,
    endpoint: str | None,
    show_all: bool,  # noqa: FBT001 - click passes options by name
    any_model: bool,  # noqa: FBT001 - click passes options by name
    as_json: bool,  # noqa: FBT001 - click passes options by name
) -> int:
    """Check an input as the API would check one batch.

    INPUT is a JSONL file, or - for standard input.

    Every error is counted and the first 20 are printed with what to do about each. Nothing is
    sent. Exits 0 when the input is valid and 2 when it is not.
    """
    name = "standard input" if source == STANDARD_INPUT else shown(source)
    printer = _Printer(name, limit=None if show_all else SHOWN, as_json=as_json)
    rules = InputRules(
        endpoint=endpoint, supports=(lambda _: True) if any_model else is_openai_model
    )
    with opened_input(source) as stream:
        version = _version(stream)
        progress = _progress(stream)
        printer.shares_line = progress is not None
        found = findings(stream, rules, progress=progress)
        for finding in _with_named_failures(found, name):
            printer.say(finding)
        if _version(stream) != version:
            raise InputError(
                "the file was changed while it was read",
                path=name,
                hint="try again when nothing writes to it any more",
            )
    printer.conclude(rules)
    return BAD_INPUT if printer.errors else ALL_GOOD


def _with_named_failures(found: Iterator[Finding], name: str) -> Iterator[Finding]:
    """The findings; when reading fails on the way, the InputError says of which input."""
    try:
        yield from found
    except InputError as error:
        error.path = name
        raise
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path=name) from None


class _Printer:
    """Prints findings on stdout as they come and the sum of them on stderr."""

    def __init__(self, name: str, *, limit: int | None, as_json: bool) -> None:
        self._name = name
        self._limit = limit
        self._as_json = as_json
        self._several_batches_would_do = True
        self.errors = 0
        self.shares_line = False
        """Whether a progress bar stands on the terminal's present line."""

    def say(self, finding: Finding) -> None:
        if finding.severity == "error":
            self.errors += 1
            self._several_batches_would_do &= finding.several_batches
            if self._limit is not None and self.errors > self._limit:
                return
        if self.shares_line:
            click.echo("\r\x1b[K", nl=False, err=True)
        if self._as_json:
            print_json({"file": self._name, **finding._asdict()})
            return
        places = (self._name, finding.line, finding.column)
        place = ":".join(str(part) for part in places if part is not None)
        click.echo(f"{place}: {finding.code}: {shown(finding.message)}")
        for text in (finding.detail, finding.hint and f"hint: {finding.hint}"):
            if text:
                click.echo(f"    {shown(text)}")

    def conclude(self, rules: InputRules) -> None:
        """Say on stderr how the input is as a whole."""
        lines = counted(rules.lines, "line")
        if not self.errors:
            model = f", {shown(rules.model, 64)}" if rules.model else ""
            click.echo(f"{self._name} is valid: {lines}, {rules.endpoint}{model}", err=True)
            return
        errors = counted(self.errors, "error") + (f" in {lines}" if rules.lines else "")
        click.echo(f"{self._name} is not valid: {errors}", err=True)
        if self._limit is not None and self.errors > self._limit:
            click.echo(f"hint: the first {self._limit} are shown, --all shows every one", err=True)
        if self._several_batches_would_do:
            text = "too much for one batch, but `batchsim run` takes it as it is"
            click.echo(f"hint: {text}", err=True)


def _version(stream: BinaryIO) -> tuple[int, int]:
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns


def _progress(stream: BinaryIO) -> Any:
    size = os.fstat(stream.fileno()).st_size
    if size < LONG or not sys.stderr.isatty():
        return None
    return click.progressbar(length=size, label="checking", file=sys.stderr)
