"""Which backend a command works on: --fake or --real, never by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from batchsim.errors import UsageError

if TYPE_CHECKING:
    from batchsim.backends.openai import OpenAIBackend


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--fake` and `--real` to a command as the argument `backend`: "fake", "real" or None.

    Both at once are refused: whichever won, somebody could be surprised by a bill.
    """

    @wraps(command)
    def with_backend(*, fake: bool, real: bool, **options: Any) -> Any:
        if fake and real:
            raise UsageError("--fake and --real exclude each other", hint="choose one of them")
        backend = "fake" if fake else "real" if real else None
        return command(backend=backend, **options)

    fake_flag = click.option(
        "--fake",
        is_flag=True,
        help="Use the simulator in this process: no key, no network, no cost.",
    )
    real_flag = click.option(
        "--real",
        is_flag=True,
        help="Use the OpenAI API (OPENAI_API_KEY, OPENAI_BASE_URL). This costs money.",
    )
    return fake_flag(real_flag(with_backend))


def real_backend(base_url: str | None = None) -> OpenAIBackend:
    """The official API, or the compatible service that `base_url` or OPENAI_BASE_URL names."""
    from batchsim.backends.openai import OpenAIBackend

    return OpenAIBackend(base_url=base_url)


def refuse_to_guess(command: str) -> UsageError:
    """Why a command with neither flag does nothing."""
    return UsageError(
        "neither --fake nor --real was given, and nobody spends money by default",
        hint=f"rehearse with `batchsim {command} --fake ...`, then pay with --real",
    )
