"""Options of several commands: the paths of a job and its results, the models, the seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Option = Callable[[Callable[..., Any]], Callable[..., Any]]

seed_option = click.option(
    "--seed",
    default=0,
    show_default=True,
    help="With the fake: the seed of everything that is left to chance.",
)

job_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object about the job."
)


def output_option(text: str) -> Option:
    """Add `-o RESULTS`, which must be given, as the argument `output`."""
    path = click.Path(path_type=Path)
    return click.option("-o", "--output", metavar="RESULTS", required=True, type=path, help=text)


def job_option(text: str) -> Option:
    return click.option("--job", metavar="DIR", type=click.Path(path_type=Path), help=text)


def any_model_option(text: str = "Accept models that are not OpenAI's.") -> Option:
    """Add `--any-model` as the argument `supports`: a test of models that all pass, or None."""

    def supports(_: click.Context, __: click.Parameter, value: bool) -> Any:  # noqa: FBT001 - click calls it
        return (lambda _: True) if value else None

    return click.option("--any-model", "supports", is_flag=True, callback=supports, help=text)
