"""`batchsim doctor`: check the setup, and what batchsim assumes about the service."""

from __future__ import annotations

import math
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click

from batchsim.cli.options.backend import chosen_provider, provider_option, real_backend
from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED
from batchsim.cli.terminal.table import columns, table
from batchsim.domain.validation.error_explanation import shown
from batchsim.errors import BatchsimError, UsageError

if TYPE_CHECKING:
    from batchsim.backends.openai import OpenAIBackend

GOOD, NOTE, BAD = "ok", "note", "failed"

DEFAULT_MODEL = "gpt-4.1-nano"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

MENDED_SQLITE = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The releases without the WAL-reset race (SQLite, "Write-Ahead Logging"), newest branch first."""

_COLUMNS = columns("CHECK", "RESULT", "SEEN")


class Check(NamedTuple):
    """One thing that was looked at. `result` is ok, note or failed, or an assumption's verdict."""

    check: str
    result: str
    seen: str


class _Amount(click.FloatRange):
    """A number that can be compared: NaN is beyond no bound, and infinity is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no amount.", param, ctx)
        return number


@click.command(epilog=examples("doctor", "doctor --provider groq", "doctor --live --max-cost 0.01"))
@provider_option
@click.option(
    "--base-url",
    metavar="URL",
    help="The address of the service [default: OPENAI_BASE_URL, or OpenAI].",
)
@click.option(
    "--live", is_flag=True, help="Also test what the service does not promise. This costs money."
)
@click.option(
    "--max-cost",
    type=_Amount(min=0),
    default=0.01,
    show_default=True,
    metavar="DOLLARS",
    help="With --live: refuse if it could cost more.",
)
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="With --live: the model of the lines."
)
@click.option(
    "--creates",
    type=click.IntRange(1, 200),
    default=5,
    show_default=True,
    help="With --live: how many batches to create and cancel.",
)
@click.option(
    "--wait",
    type=_Amount(min=0, max=90_000),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="With --live: how long to wait for a batch to end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check.")
def doctor(
    *,
    base_url: str | None,
    live: bool,
    max_cost: float,
    model: str,
    creates: int,
    wait: float,
    as_json: bool,
) -> int:
    """Check the key, the network and this machine.

    This is free of charge. --live also tests six assumptions about the service, with batches of
    one line. These are cancelled or cost less than --max-cost together. What they made is deleted,
    and the findings are kept in the state directory. Exits 1 if a check failed.
    """
    printer = _Printer(as_json=as_json)
    for check in (*_surroundings(), *_address(base_url)):
        printer.say(check)
    with closing(real_backend(base_url)) as backend:
        if not printer.has_failed:
            for check in _reach(backend):
                printer.say(check)
        if live and not printer.has_failed:
            for check in _trials(backend, model, creates=creates, wait=wait, max_cost=max_cost):
                printer.say(check)
    printer.conclude()
    if not live:
        text = "--live tries out A1 to A6, which no service promises, for less than $0.01"
        click.echo(f"note: {text}", err=True)
    return SOME_FAILED if printer.has_failed else ALL_GOOD


class _Printer:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._rows: list[Check] = []

    @property
    def has_failed(self) -> bool:
        return any(check.result in (BAD, "broken") for check in self._rows)

    def say(self, check: Check) -> None:
        from batchsim.cli.terminal.output import print_json

        self._rows.append(check)
        if self._as_json:
            print_json(check._asdict())

    def conclude(self) -> None:
        if not self._as_json:
            for line in table(_COLUMNS, self._rows):
                click.echo(line)


def _surroundings() -> Iterator[Check]:
    import openai

    from batchsim.cli.terminal.state_folder import state_folder

    yield Check("python", GOOD, ".".join(map(str, sys.version_info[:3])))
    yield Check("openai", GOOD, openai.__version__)
    version = sqlite3.sqlite_version_info
    is_mended = any(version[:2] == good[:2] and version >= good for good in MENDED_SQLITE)
    is_mended |= version >= MENDED_SQLITE[0]
    text = sqlite3.sqlite_version
    if is_mended:
        yield Check("sqlite", GOOD, text)
    else:
        text += "; harmless here, since a journal has one writer (several would need 3.51.3)"
        yield Check("sqlite", NOTE, text)
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield Check("state directory", GOOD, str(folder))
    except OSError as error:
        text = f"{folder}: {error.strerror}; `batchsim jobs` will know no jobs"
        yield Check("state directory", NOTE, text)


def _address(base_url: str | None) -> Iterator[Check]:
    address = base_url or os.environ.get("OPENAI_BASE_URL", "")
    if chosen_provider() is not None or not address:
        return
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        yield Check("base URL", BAD, f"{shown(address)} would send the key in clear: use https://")
    elif parts.username or parts.password:
        yield Check("base URL", BAD, "it holds a user name or password: leave them out")
    elif parts.path.count("/v1") > 1:
        yield Check("base URL", NOTE, f"{shown(address)} has /v1 twice")


def _reach(backend: OpenAIBackend) -> Iterator[Check]:
    yield Check("key", GOOD, backend.key_hint)
    if backend.proxy is not None:
        yield Check("proxy", NOTE, f"{backend.service} is reached through {shown(backend.proxy)}")
    for name, ask in (
        ("batches", lambda: backend.list_batches(limit=1)),
        ("files", lambda: backend.list_files(purpose="batch", limit=1)),
    ):
        start = backend.clock.now()
        try:
            ask()
        except BatchsimError as error:
            yield Check(
                name, BAD, f"{error.message}; {error.hint}" if error.hint else error.message
            )
            return
        took = backend.clock.now() - start
        yield Check(name, GOOD, f"{backend.service} answers in {took:.2f} s")
    limits = backend.limits
    text = f"{limits.requests_per_batch:,} lines and {limits.input_file_bytes // 10**6} MB a batch"
    yield Check("limits", GOOD, text)


def _trials(
    backend: OpenAIBackend, model: str, *, creates: int, wait: float, max_cost: float
) -> Iterator[Check]:
    from batchsim.runner.service_checks import Trials, most_cost

    most = most_cost(model, creates)
    if most is None:
        raise UsageError(
            f"the price of {shown(model, 64)} is not known, so its cost has no bound",
            hint="name another model: --model",
        )
    if most > max_cost:
        raise UsageError(
            f"the trials could cost ${most:.6f}, more than ${max_cost:g}",
            hint="fewer --creates, a cheaper --model, or a higher --max-cost",
        )
    click.echo(f"trying out A1 to A6 with {shown(model, 64)}: at most ${most:.6f}", err=True)
    trials = Trials(backend, model, creates, wait, lambda text: click.echo(text, err=True))
    kept = []
    for finding in trials.run():
        kept.append(finding)
        yield Check(f"{finding.name} {finding.title}", str(finding.verdict), finding.seen)
    _keep(backend, {each.name: (str(each.verdict), each.seen) for each in kept})


def _keep(backend: OpenAIBackend, findings: dict[str, tuple[str, str]]) -> None:
    import orjson

    from batchsim.cli.terminal.state_folder import state_folder
    from batchsim.jsonl import replace_file

    path = state_folder() / "doctor.jsonl"
    entry = {"at": backend.clock.now(), "service": backend.service, "findings": findings}
    try:
        before = path.read_bytes() if path.exists() else b""
        with replace_file(path) as stream:
            stream.write(before + orjson.dumps(entry) + b"\n")
    except OSError as error:
        click.echo(f"note: the findings cannot be kept in {path}: {error.strerror}", err=True)
    else:
        click.echo(f"the findings are kept in {path}", err=True)
