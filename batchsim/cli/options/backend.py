"""The options that choose a backend: --fake or --real, never by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from batchsim.errors import UsageError

if TYPE_CHECKING:
    from batchsim.backends.openai import OpenAIBackend
    from batchsim.backends.openai.providers import Provider


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--fake`, `--real` and `--provider` as the argument `backend`: "fake", "real" or None.

    Both at once are refused: whichever won, somebody could be surprised by a bill.
    """

    @wraps(command)
    def with_backend(*, fake: bool, real: bool, **options: Any) -> Any:
        if fake and real:
            raise UsageError("--fake and --real exclude each other", hint="choose one of them")
        if fake and chosen_provider():
            raise UsageError("--provider names a real service", hint="leave it out with --fake")
        backend = "fake" if fake else "real" if real else None
        return command(backend=backend, **options)

    fake_flag = click.option(
        "--fake", is_flag=True, help="Use the fake in this process: no key, no network, no cost."
    )
    real_flag = click.option(
        "--real",
        is_flag=True,
        help="Use the OpenAI API (OPENAI_API_KEY, OPENAI_BASE_URL), or the service of --provider. "
        "This costs money.",
    )
    return fake_flag(real_flag(provider_option(with_backend)))


_PROVIDER = "batchsim.provider"


def provider_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--provider`, which `real_backend` heeds; others may ask for the `chosen_provider`."""

    def choose(context: click.Context, _: click.Parameter, name: str | None) -> None:
        if name is not None:
            from batchsim.backends.openai.providers import provider_of

            context.meta[_PROVIDER] = provider_of(name)

    option = click.option(
        "--provider",
        metavar="NAME",
        callback=choose,
        expose_value=False,
        help="A service with the same API: azure, groq, together, ... Its key is read from "
        "GROQ_API_KEY and the like. An unknown name lists them all. [default: openai]",
    )
    return option(command)


def chosen_provider() -> Provider | None:
    """Return the provider that `--provider` names, if it was given."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_PROVIDER)


def real_backend(base_url: str | None = None) -> OpenAIBackend:
    """Open the service of `--provider` (default: the official API), at `base_url` if given."""
    from batchsim.backends.openai import OpenAIBackend

    return OpenAIBackend(base_url=base_url, provider=chosen_provider())


def refuse_to_guess(command: str) -> UsageError:
    return UsageError(
        "neither --fake nor --real was given, and nobody spends money by default",
        hint=f"rehearse with `batchsim {command} --fake ...`, then pay with --real",
    )
