"""`batchsim serve`: the simulator behind a port, for programs in any language."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from batchsim.cli.failures import ALL_GOOD

PACINGS = ("2024", "2025", "today", "quick", "instant")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve.")
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
    help="Keep files and batches in this folder (in memory unless given).",
)
@click.option(
    "--seed", default=0, show_default=True, help="What the simulator's chance depends on."
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How fast time runs: 3600 lets an hour pass in a second.",
)
@click.option(
    "--pacing",
    type=click.Choice(PACINGS),
    help="How long batches take [default: quick, a few seconds; with --speed, today].",
)
@click.option(
    "--auth-token",
    "tokens",
    metavar="KEY",
    multiple=True,
    envvar="BATCHSIM_AUTH_TOKEN",
    help="Let in this API key only (any, unless given); may be repeated.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A name by which clients may call the server besides localhost; may be repeated.",
)
def serve(
    *,
    host: str,
    port: int,
    data: Path | None,
    seed: int,
    speed: float,
    pacing: str | None,
    tokens: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
) -> int:
    """Serve the simulator over HTTP, so that any OpenAI client works on it unchanged.

    Prints the two lines that a shell needs to point clients here. Every API key sees its own files
    and batches only. Stop it with Ctrl-C.
    """
    from batchsim.clock import ScaledClock, SystemClock
    from batchsim.server.fakes import Fakes
    from batchsim.server.serve import running
    from batchsim.wire import App

    clock = SystemClock() if speed == 1 else ScaledClock(speed)
    pacing = pacing or ("quick" if speed == 1 else "today")
    fakes = Fakes(seed=seed, clock=clock, pacing=pacing, folder=data)
    try:
        app = App(fakes.backend("sk-fake"), api_keys=tokens or None)
        server = running(
            app, host=host, port=port, has_keys=bool(tokens), allowed_hosts=allowed_hosts
        )
        with _until_stopped() as stopped, server as address:
            _tell(address, tokens)
            stopped.wait()
    finally:
        fakes.close()
    return ALL_GOOD


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; Ctrl-C interrupts the wait for it."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(address: str, tokens: tuple[str, ...]) -> None:
    click.echo(f"Serving the simulator on {address} until Ctrl-C. Point clients here:", err=True)
    click.echo(f"export OPENAI_BASE_URL={address}/v1")
    click.echo(f"export OPENAI_API_KEY={'YOUR_KEY' if tokens else 'sk-fake'}")
