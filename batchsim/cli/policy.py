"""How a job is run: the options that `run` and `adopt` share, as a Policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from batchsim.runner.policy import Policy

OPTIONS = (
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        default=2,
        show_default=True,
        metavar="N",
        help="Send lines up to N times again that expired, got lost or met a passing error (408, "
        "409, 429, 5xx); never lines with a good result. Each time is a batch of its own, with a "
        "window of its own, and what runs in it is paid like any other.",
    ),
    click.option(
        "--on-unknown",
        type=click.Choice(["stop", "wait", "fence"]),
        help="When creating a batch got no answer and the batch cannot be found: stop and leave it "
        "to you, wait until it would have ended, or fence it off by deleting its input file and "
        "create it again. Only stop can never pay twice. [default: stop; with --fake, fence]",
    ),
)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command that has `backend`; it gets the argument `policy`."""

    @wraps(command)
    def with_policy(
        *, backend: str | None, retries: int, on_unknown: str | None, **options: Any
    ) -> Any:
        policy = _policy(backend, retries=retries, on_unknown=on_unknown)
        return command(backend=backend, policy=policy, **options)

    wrapped: Callable[..., Any] = with_policy
    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _policy(backend: str | None, *, retries: int, on_unknown: str | None) -> Policy:
    """No request to the simulator outlives this process, so a lost one may be made again."""
    from batchsim.runner.policy import OnUnknown, Policy

    unknown = on_unknown or ("fence" if backend == "fake" else "stop")
    return Policy(retries=retries, on_unknown=OnUnknown(unknown))
