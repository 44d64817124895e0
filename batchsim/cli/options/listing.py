"""What `batches` and `files` have in common: the service they look at, its lists, several ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial, wraps
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from batchsim.cli.options.backend import provider_option, real_backend
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED, explain
from batchsim.cli.terminal.output import print_json
from batchsim.cli.terminal.table import Column, table
from batchsim.errors import AuthenticationFailed, RateLimited, Refused

if TYPE_CHECKING:
    from batchsim.backends import Listed, Page
    from batchsim.domain.batches import Batch
    from batchsim.domain.files import File

DEFAULT_LIMIT = 20
"""How many entries of a list are shown unless more are asked for."""


def with_service(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--base-url` to a command and give it the service as the argument `backend`."""

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
"""How a command is asked for the API's own objects."""


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--limit` and `--all` to a command as the argument `limit`; None means all."""

    @wraps(command)
    def limited(*, limit: int, show_all: bool, **options: Any) -> Any:
        return command(limit=None if show_all else limit, **options)

    number = click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000_000),
        default=DEFAULT_LIMIT,
        show_default=True,
        help="Show so many, the newest first.",
    )
    everything = click.option("--all", "show_all", is_flag=True, help="Show all of them.")
    return number(everything(limited))


def listed(
    read_page: Callable[..., Page[Listed]], *, limit: int | None, page_size: int
) -> Iterator[Listed]:
    """The entries of a list, newest first, page after page, of at most `page_size` entries each.

    One entry more than `limit` is asked for at once, to know whether there is one.
    """
    from batchsim.runner.effects.batch_list import listed_since

    wanted = page_size if limit is None else min(limit + 1, page_size)
    ask = partial(read_page, limit=wanted)
    return listed_since(lambda after: ask(after=after))


def print_list(
    entries: Iterator[Listed],
    limit: int | None,
    columns: Sequence[Column],
    row: Callable[[Listed], Sequence[str]],
    *,
    as_json: bool,
) -> int:
    """Print the first `limit` of the entries (all for None); the exit code."""
    printed = islice(entries, limit)
    if as_json:
        for entry in printed:
            print_object(entry)
    else:
        for line in table(columns, map(row, printed)):
            click.echo(line)
    if limit is not None and next(entries, None) is not None:
        click.echo("there are more; --all shows them, --limit so many", err=True)
    return ALL_GOOD


def print_object(value: Batch | File) -> None:
    """Print the API's own object on one line."""
    print_json(value.to_object())


def for_each(ids: Iterable[str], act: Callable[[str], object]) -> int:
    """Act on each id once; those that the service refuses are told, and the others go on.

    The exit code says whether any was refused. Raises what concerns every id alike.
    """
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
