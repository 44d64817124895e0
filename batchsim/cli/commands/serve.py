"""`batchsim serve`: the simulator behind a port, for programs in any language."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from batchsim.cli.commands.scenarios import faults_in, list_scenarios, scenario_options
from batchsim.cli.options.groups import SERVER_GROUPS, GroupedCommand, examples
from batchsim.cli.options.job import seed_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.clock import Clock, ScaledClock, SystemClock
from batchsim.errors import UsageError

if TYPE_CHECKING:
    from batchsim.backends.fake import FakeBackend
    from batchsim.domain.batches import Batch
    from batchsim.server.fakes_by_key import FakesByKey
    from batchsim.server.http import Handler
    from batchsim.wire import App

MOST_VERDICTS = 10
VERDICT_SECONDS = 2.0  # for all verdicts, when the server stops
PACINGS = ("2024", "2025", "today", "quick", "instant")


@click.command(
    cls=GroupedCommand,
    groups=SERVER_GROUPS,
    epilog=examples(
        "serve",
        "serve --data state --speed 3600",
        "serve --control --scenario expired_partial,rate_limited",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8_000,
    show_default=True,
    help="The port; 0 takes any free one.",
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep files and batches in this folder [default: in memory].",
)
@seed_option
@click.option(
    "--speed",
    type=click.FloatRange(min=0, max=1e6, min_open=True),
    default=1.0,
    show_default=True,
    help="How fast time runs: with 3600 an hour takes a second.",
)
@click.option(
    "--pacing",
    type=click.Choice(PACINGS),
    help="How long batches take [default: quick, a few seconds; with --speed, today].",
)
@scenario_options
@click.option(
    "--auth-token",
    "tokens",
    metavar="KEY",
    multiple=True,
    envvar="BATCHSIM_AUTH_TOKEN",
    help="Accept only this API key [default: any]. May be repeated. Also BATCHSIM_AUTH_TOKEN.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A host name that clients may use besides localhost. May be repeated.",
)
@click.option(
    "--control",
    is_flag=True,
    help="Serve /_batchsim/ too: put the clock forward, set faults, reset, see everything.",
)
@click.option(
    "--ranges",
    is_flag=True,
    help="Answer a Range of a file's content with that part, as some services do; OpenAI does not.",
)
@click.option(
    "--webhook-url",
    "webhook_urls",
    metavar="URL",
    multiple=True,
    help="Send a webhook for every batch that ends to this URL. May be repeated.",
)
@click.option(
    "--webhook-secret",
    metavar="SECRET",
    envvar="BATCHSIM_WEBHOOK_SECRET",
    help="The secret that signs webhooks: whsec_ and base64. Also BATCHSIM_WEBHOOK_SECRET.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address and the key as JSON.")
@click.pass_context
def serve(
    context: click.Context,
    *,
    host: str,
    port: int,
    data: Path | None,
    seed: int,
    speed: float,
    pacing: str | None,
    scenario: str,
    plan: Path | None,
    tokens: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
    control: bool,
    ranges: bool,
    webhook_urls: tuple[str, ...],
    webhook_secret: str | None,
    as_json: bool,
) -> int:
    """Serve the fake API over HTTP, to any OpenAI client.

    It prints two lines for the shell that point clients here. Every API key sees only its own
    files and batches. Stop it with Ctrl-C.
    """
    from batchsim.server.serve_extra import check_serve_extra

    check_serve_extra()
    from batchsim.server.fakes_by_key import FakesByKey
    from batchsim.server.log import log_on_stderr
    from batchsim.server.process_limits import freeze_imports, limit_process
    from batchsim.server.serve import running
    from batchsim.wire import App

    if scenario == "list":
        list_scenarios()
        return ALL_GOOD
    limit_process()
    freeze_imports()
    fakes = FakesByKey(
        seed=seed,
        clock=_clock(speed),
        pacing=pacing or ("quick" if speed == 1 else "today"),
        scenario=scenario,
        faults=faults_in(plan),
        folder=data,
    )
    keys = tokens or None
    app = App(fakes.tenants, api_keys=keys, heeds_ranges=ranges)
    with ExitStack() as stack:
        stack.callback(fakes.close)
        stack.enter_context(log_on_stderr((*tokens, webhook_secret or "")))
        stack.enter_context(_courier(fakes, webhook_urls, webhook_secret))
        stopped = stack.enter_context(until_stopped())
        with running(
            _with_control(fakes, app, keys) if control else app,
            host=host,
            port=port,
            has_keys=bool(tokens),
            allowed_hosts=allowed_hosts,
        ) as address:
            stack.callback(print_verdicts, fakes)  # once nobody is served any more
            _warn_of_visible_keys(context)
            _print_address(address, has_keys=bool(tokens), as_json=as_json)
            stopped.wait()
    return ALL_GOOD


def _with_control(fakes: FakesByKey, app: App, keys: tuple[str, ...] | None) -> Handler:
    from batchsim.server.control_api import ControlApi

    return ControlApi(fakes, app, keys)


def _clock(speed: float) -> Clock:
    try:
        return SystemClock() if speed == 1 else ScaledClock(speed)
    except ValueError as error:  # not a number, which is in no range and out of none
        raise UsageError(f"--speed: {error}") from None


def _courier(
    fakes: FakesByKey, urls: tuple[str, ...], secret: str | None
) -> AbstractContextManager[object]:
    if not urls:
        return nullcontext()
    if not secret:
        raise UsageError(
            "--webhook-url needs --webhook-secret: receivers check signatures",
            hint="any will do, for instance --webhook-secret whsec_c2VjcmV0",
        )
    from batchsim.server.webhook_sender import WebhookSender

    def ended() -> Iterator[Batch]:
        for backend in fakes.backends().values():
            yield from backend.take_ended()

    return WebhookSender(ended, urls, secret)


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; Ctrl-C interrupts the wait for it."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def _warn_of_visible_keys(context: click.Context) -> None:
    if context.get_parameter_source("tokens") is ParameterSource.COMMANDLINE:
        click.echo(
            "note: others on this machine can see --auth-token in the list of processes;"
            " BATCHSIM_AUTH_TOKEN they cannot",
            err=True,
        )


def _print_address(address: str, *, has_keys: bool, as_json: bool) -> None:
    click.echo(f"Serving the simulator on {address} until Ctrl-C. Point clients here:", err=True)
    if as_json:
        key = None if has_keys else "sk-fake"
        click.echo(json.dumps({"base_url": f"{address}/v1", "api_key": key}))
        return
    click.echo(f"export OPENAI_BASE_URL={address}/v1")
    click.echo(f"export OPENAI_API_KEY={'YOUR_KEY' if has_keys else 'sk-fake'}")


def print_verdicts(fakes: FakesByKey) -> None:
    """Print the verdicts that can be had within VERDICT_SECONDS."""
    used = {
        digest: backend for digest, backend in fakes.backends().items() if backend.requests.count
    }
    lines: list[str] = []
    # A daemon: the process ends though it is still at work.
    judging = threading.Thread(target=_judge_all, args=(used, lines), daemon=True)
    judging.start()
    judging.join(VERDICT_SECONDS)
    if judging.is_alive():
        lines = [*lines, "the rest of the verdict is left out: it would take too long"]
    for line in lines:
        click.echo(line, err=True)


def _judge_all(used: dict[str, FakeBackend], lines: list[str]) -> None:
    """Append the lines of all verdicts."""
    from batchsim.verdict import judge

    try:
        for digest, backend in islice(used.items(), MOST_VERDICTS):
            name = f"key {digest[:8]}: " if len(used) > 1 else ""
            verdict = judge(backend.history(as_seen=True))  # nobody waits for work that is given up
            lines.append(f"{name}{verdict.summary()}")
            lines.extend(f"  {each.code}: {each.evidence[0]}" for each in verdict.findings)
        if len(used) > MOST_VERDICTS:
            lines.append(f"and {len(used) - MOST_VERDICTS:,} keys more")
    except Exception as error:  # noqa: BLE001 - the store may be closed by now
        lines.append(f"there is no verdict: {type(error).__name__}: {error}")
