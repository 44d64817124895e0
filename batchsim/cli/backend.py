"""Which backend a command works on: --fake or --real, never by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from batchsim.backends import Backend
from batchsim.errors import UsageError


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--fake` and `--real` to a command as the argument `backend`: "fake", "real" or None."""
    command = click.option(
        "--real",
        "backend",
        flag_value="real",
        help="Use the OpenAI API (OPENAI_API_KEY, OPENAI_BASE_URL). This costs money.",
    )(command)
    return click.option(
        "--fake",
        "backend",
        flag_value="fake",
        help="Use the simulator in this process: no key, no network, no cost.",
    )(command)


def real_backend() -> Backend:
    """The official API, or the compatible service that OPENAI_BASE_URL names."""
    from batchsim.backends.openai import OpenAIBackend

    return OpenAIBackend()


def refuse_to_guess(command: str) -> UsageError:
    """Why a command with neither flag does nothing."""
    return UsageError(
        "neither --fake nor --real was given, and nobody spends money by default",
        hint=f"rehearse with `batchsim {command} --fake ...`, then pay with --real",
    )
