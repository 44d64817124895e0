"""The options of `run` and `adopt` for webhooks, and the port that receives them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import click

from batchsim.backends import Backend
from batchsim.clock import SystemClock
from batchsim.errors import UsageError
from batchsim.runner.webhook_notices import Notices

SECRET_VARIABLE = "OPENAI_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable, as in the official SDK


class Webhooks(NamedTuple):
    """The address that receives webhooks; without a port there is none."""

    host: str
    port: int | None

    @contextmanager
    def received(self) -> Iterator[Notices | None]:
        """Receive webhooks as notices; None without a port. Raises UsageError without a secret."""
        if self.port is None:
            yield None
            return
        from batchsim.server.serve_extra import check_serve_extra

        check_serve_extra()
        from batchsim.server.webhook_receiver import receive_webhooks

        secret = os.environ.get(SECRET_VARIABLE, "")
        if not secret:
            raise UsageError(
                "--webhook-port needs the secret with which webhooks are signed",
                hint=f"export {SECRET_VARIABLE}=whsec_..., as the service's webhook page shows it",
            )
        notices = Notices()
        now = SystemClock().now
        with receive_webhooks(
            secret, notices.give, now=now, host=self.host, port=self.port
        ) as address:
            text = f"webhooks are received on {address}; have the service's events led there"
            click.echo(text, err=True)
            yield notices


def wake(backend: Backend, notices: Notices | None) -> Backend:
    if notices is not None:
        backend.clock = notices.waking(backend.clock)
    return backend


def webhook_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command that has `backend`; it gets the argument `webhooks`."""

    @wraps(command)
    def with_webhooks(
        *, backend: str | None, webhook_host: str, webhook_port: int | None, **options: Any
    ) -> Any:
        if webhook_port is not None and backend == "fake":
            raise UsageError("the simulator in this process sends no webhooks", hint="leave it out")
        return command(backend=backend, webhooks=Webhooks(webhook_host, webhook_port), **options)

    host = click.option(
        "--webhook-host",
        default="127.0.0.1",
        show_default=True,
        help="The address on which webhooks are received.",
    )
    port = click.option(
        "--webhook-port",
        type=click.IntRange(0, 65_535),
        help="Receive the service's webhooks on this port (0: any free one); they wake the runner. "
        f"{SECRET_VARIABLE} verifies them. The runner still looks now and then, to be safe.",
    )
    return port(host(with_webhooks))
