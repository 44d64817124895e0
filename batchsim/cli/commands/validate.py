"""`batchsim validate`: the API's errors for an input file, with explanations and warnings."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, BinaryIO, NamedTuple

import click
import orjson

from batchsim.amounts import counted
from batchsim.cli.options.groups import examples
from batchsim.cli.options.job import any_model_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD, BAD_INPUT
from batchsim.cli.terminal.output import print_json
from batchsim.cli.terminal.stdin import STANDARD_INPUT, opened_input
from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import ENDPOINTS, is_openai_model
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.validation import error_explanation
from batchsim.domain.validation.advice import Advice
from batchsim.domain.validation.input_file import InputRules, InvalidLine
from batchsim.errors import InputError
from batchsim.jsonl import Line, read_blocks, read_lines

STEP = 1 << 21
"""After so many bytes a progress bar is moved on."""

SEARCHES = 20
"""For so many duplicates the input is searched for the line that had the custom_id first."""


class Finding(NamedTuple):
    severity: str
    code: str
    message: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None
    param: str | None = None
    detail: str | None = None
    """The cause, where the API's own message does not say it."""
    several_batches: bool = False
    """True when it only says that the input does not fit into one batch."""


def findings(
    stream: BinaryIO, rules: InputRules, *, limits: Limits = OPENAI, progress: Any = None
) -> Iterator[Finding]:
    """Yield the findings about the input in `stream`, in line order; moves a progress bar along."""
    cause = error_explanation.wrong_format(stream.read(error_explanation.HEAD))
    if cause is not None:
        yield Finding("error", "not_jsonl", cause.text, cause.hint)
        return
    stream.seek(0)
    advice = Advice(rules.custom_ids)
    inspector = _Inspector(stream, rules)
    with progress or nullcontext() as bar:
        for found in rules.walk(read_blocks(stream, longest=limits.line_bytes)):
            if isinstance(found, InvalidLine):
                yield inspector.explain(*found)
                continue
            advice.look(found)
            if bar is not None and found.offset - bar.pos >= STEP:
                bar.update(found.offset - bar.pos)
    size = stream.tell()
    if size > limits.input_file_bytes:
        yield _whole(error_explanation.file_too_large(size, limits.input_file_bytes))
    for error in rules.finish():
        yield _whole(error)
    yield from _warnings(stream, size, rules, advice)


def _finding(error: BatchError, hint: str, **more: Any) -> Finding:
    return Finding(
        "error", error.code, error.message, hint, line=error.line, param=error.param, **more
    )


def _whole(error: BatchError) -> Finding:
    return _finding(
        error,
        error_explanation.hint_for(error),
        several_batches=error_explanation.is_about_one_batch(error),
    )


def _warnings(stream: BinaryIO, size: int, rules: InputRules, advice: Advice) -> Iterator[Finding]:
    for key, number in rules.unknown_keys.items():
        advice.note(f'the key "{error_explanation.shown(key)}" means nothing to the API', number)
    stream.seek(max(0, size - 2))
    if rules.lines and stream.read() == b"\n\n":
        advice.note("the file ends with a blank line", rules.lines + 1)
    for number, text in advice.given():
        yield Finding("warning", "warning", text, line=number)


class _Inspector:
    def __init__(self, stream: BinaryIO, rules: InputRules) -> None:
        self._stream = stream
        self._rules = rules
        self._searches = SEARCHES

    def explain(self, line: Line, error: BatchError) -> Finding:
        if error.code == "invalid_json_line":
            cause = error_explanation.why_unreadable(line.content)
            return _finding(error, cause.hint, column=cause.column, detail=cause.text)
        value = orjson.loads(line.content)
        url = value.get("url")
        first_line = None
        if error.code == "duplicate_custom_id":
            first_line = self._first_line_with(value["custom_id"])
        elif error.code == "mismatched_model":
            first_line = self._rules.model_line
        hint = error_explanation.hint_for(error, first_line=first_line, url=url)
        return _finding(
            error, hint, several_batches=error_explanation.is_about_one_batch(error, url=url)
        )

    def _first_line_with(self, custom_id: str) -> int | None:
        if not self._searches:
            return None
        self._searches -= 1
        position = self._stream.tell()
        self._stream.seek(0)
        try:
            return next(
                (line.number for line in read_lines(self._stream) if _has_id(line, custom_id)), None
            )
        finally:
            self._stream.seek(position)


def _has_id(line: Line, custom_id: str) -> bool:
    if b"\\" not in line.content and custom_id.encode() not in line.content:
        return False
    try:
        value = orjson.loads(line.content)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("custom_id") == custom_id


SHOWN = 20
LONG = 50_000_000
"""From so many bytes on, a progress bar is shown on a terminal."""


@click.command(epilog=examples("validate input.jsonl", "validate --all --json input.jsonl"))
@click.argument("source", metavar="INPUT")
@click.option("--all", "show_all", is_flag=True, help=f"Print every error, not the first {SHOWN}.")
@click.option(
    "--endpoint",
    type=click.Choice(list(ENDPOINTS)),
    metavar="PATH",
    help="The endpoint of the batch [default: that of the first valid line].",
)
@any_model_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
def validate(
    source: str,
    endpoint: str | None,
    show_all: bool,  # noqa: FBT001 - click passes options by name
    supports: Callable[[str], bool] | None,
    as_json: bool,  # noqa: FBT001 - click passes options by name
) -> int:
    """Find what the API would refuse in an input file.

    INPUT is a JSONL file, or - for standard input.

    It is checked as one batch. Every error is counted, and the first 20 are printed, each with
    what to do about it. Nothing is sent. Exits 0 if the input is valid and 2 if it is not.
    """
    name = "standard input" if source == STANDARD_INPUT else error_explanation.shown(source)
    printer = _Printer(name, limit=None if show_all else SHOWN, as_json=as_json)
    rules = InputRules(endpoint=endpoint, supports=supports or is_openai_model)
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
    """Yield the findings; an InputError on the way names the input."""
    try:
        yield from found
    except InputError as error:
        error.path = name
        raise
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path=name) from None


class _Printer:
    def __init__(self, name: str, *, limit: int | None, as_json: bool) -> None:
        self._name = name
        self._limit = limit
        self._as_json = as_json
        self._several_batches_would_do = True
        self.errors = 0
        self.shares_line = False
        """True when a progress bar is on the same line of the terminal."""

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
        where = ":".join(str(part) for part in places if part is not None)
        click.echo(f"{where}: {finding.code}: {error_explanation.shown(finding.message)}")
        for text in (finding.detail, finding.hint and f"hint: {finding.hint}"):
            if text:
                click.echo(f"    {error_explanation.shown(text)}")

    def conclude(self, rules: InputRules) -> None:
        lines = counted(rules.lines, "line")
        if not self.errors:
            model = f", {error_explanation.shown(rules.model, 64)}" if rules.model else ""
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
