"""The parts that `batches` and `files` share: the service, its lists, several ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial, wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchsim.cli.options.backend import provider_option, real_backend
from batchsim.cli.options.job import Option
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED, explain
from batchsim.cli.terminal.output import print_json
from batchsim.cli.terminal.table import Column, table
from batchsim.errors import AuthenticationFailed, RateLimited, Refused

if TYPE_CHECKING:
    from batchsim.backends import Listed, Page
    from batchsim.domain.batches import Batch
    from batchsim.domain.files import File

    Shown = TypeVar("Shown", Batch, File)

DEFAULT_LIMIT = 20


def with_service(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--base-url` and `--provider`; the command gets the service as `backend`."""

    @wraps(command)
    def connected(*, base_url: str | None, **options: Any) -> Any:
        with closing(real_backend(base_url)) as backend:
            return command(backend=backend, **options)

    option = click.option(
        "--base-url",
        metavar="URL",
        help="The address of the service [default: OPENAI_BASE_URL, or that of the provider].",
    )
    return option(provider_option(connected))


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the API's objects, one per line."
)


def prints_objects(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `with_service`, and `--json` as the argument `as_json`."""
    return json_option(with_service(command))


def ids_argument(metavar: str) -> Option:
    return click.argument("ids", metavar=f"{metavar}...", nargs=-1, required=True)


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--limit` and `--all` as the argument `limit`; None means all."""

    @wraps(command)
    def limited(*, limit: int, show_all: bool, **options: Any) -> Any:
        return command(limit=None if show_all else limit, **options)

    number = click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000_000),
        default=DEFAULT_LIMIT,
        show_default=True,
        help="The most entries to show, the newest first.",
    )
    everything = click.option("--all", "show_all", is_flag=True, help="Show all of them.")
    return number(everything(limited))


def print_list(
    read_page: Callable[..., Page[Listed]],
    columns: Sequence[Column],
    row: Callable[[Listed], Sequence[str]],
    *,
    limit: int | None,
    page_size: int,
    as_json: bool,
) -> int:
    """Print the newest `limit` entries (None: all), page by page; return the exit code."""
    from batchsim.runner.effects.batch_list import listed_since

    # one entry more than `limit` tells whether there is one
    wanted = page_size if limit is None else min(limit + 1, page_size)
    ask = partial(read_page, limit=wanted)
    entries = listed_since(lambda after: ask(after=after))
    printed = islice(entries, limit)
    if as_json:
        for entry in printed:
            print_json(entry.to_object())
    else:
        for line in table(columns, map(row, printed)):
            click.echo(line)
    if limit is not None and next(entries, None) is not None:
        click.echo("there are more; --all shows them, --limit so many", err=True)
    return ALL_GOOD


def print_each(
    ids: Iterable[str],
    read: Callable[[str], Shown],
    lines: Callable[[Shown], Iterable[str]],
    *,
    as_json: bool,
) -> int:
    """Read each id once and print it, in lines or as the API's object; return the exit code."""

    def show(identifier: str) -> None:
        value = read(identifier)
        if as_json:
            return print_json(value.to_object())
        for line in lines(value):
            click.echo(line)
        return None

    return for_each(ids, show)


def for_each(ids: Iterable[str], act: Callable[[str], object]) -> int:
    """Act on each id once; explain refusals and go on. Return 1 if there were any, else 0."""
    code = ALL_GOOD
    for identifier in dict.fromkeys(ids):
        try:
            act(identifier)
        except (AuthenticationFailed, RateLimited):
            raise
        except Refused as error:
            explain(error)
            code = SOME_FAILED
    return code
