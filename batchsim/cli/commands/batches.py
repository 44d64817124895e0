"""`batchsim batches`: look at the batches of a service, and cancel them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from batchsim.amounts import distance, instant, money
from batchsim.cli.options.listing import (
    for_each,
    json_option,
    list_options,
    listed,
    print_list,
    print_object,
    with_service,
)
from batchsim.cli.terminal.table import Column, details
from batchsim.domain.lifecycle import STAMPS
from batchsim.domain.limits import OPENAI
from batchsim.domain.validation.diagnosis import hint_for, shown

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.domain.batches import Batch

_COLUMNS = (
    Column("ID"),
    Column("STATUS"),
    Column("ENDPOINT"),
    Column("LINES", is_number=True),
    Column("OK", is_number=True),
    Column("FAILED", is_number=True),
    Column("CREATED", is_number=True),
)


@click.group()
def batches() -> None:
    """Look at the batches of a service, and cancel them.

    OPENAI_API_KEY is the key, OPENAI_BASE_URL names another service, such as `batchsim serve`.
    Nothing here costs money. Exits 1 when an id was refused; the others are done then.
    """


@batches.command("list")
@list_options
@json_option
@with_service
def list_command(*, backend: Backend, limit: int | None, as_json: bool) -> int:
    """List the batches, the newest first."""
    entries = listed(backend.list_batches, limit=limit, page_size=OPENAI.batches_per_page)
    now = backend.clock.now()
    return print_list(entries, limit, _COLUMNS, lambda batch: _row(batch, now), as_json=as_json)


@batches.command("show")
@click.argument("ids", metavar="BATCH_ID...", nargs=-1, required=True)
@json_option
@with_service
def show_command(*, backend: Backend, ids: tuple[str, ...], as_json: bool) -> int:
    """Show all that is known of a batch: times, files, usage and what it cost, errors."""

    def show(identifier: str) -> None:
        batch = backend.retrieve_batch(identifier)
        if as_json:
            return print_object(batch)
        for line in _description(batch, backend.clock.now()):
            click.echo(line)
        return None

    return for_each(ids, show)


@batches.command("cancel")
@click.argument("ids", metavar="BATCH_ID...", nargs=-1, required=True)
@json_option
@with_service
def cancel_command(*, backend: Backend, ids: tuple[str, ...], as_json: bool) -> int:
    """Ask for batches to be cancelled. Lines that have finished keep their results and are paid."""

    def cancel(identifier: str) -> None:
        batch = backend.cancel_batch(identifier)
        if as_json:
            return print_object(batch)
        return click.echo(f"{shown(batch.id)} is {shown(_status(batch))}")

    return for_each(ids, cancel)


def _status(batch: Batch) -> str:
    return batch.unknown_status or str(batch.status)


def _row(batch: Batch, now: float) -> tuple[str, ...]:
    counts = batch.request_counts
    numbers = (counts.total, counts.completed, counts.failed)
    return (
        batch.id,
        _status(batch),
        batch.endpoint,
        *(f"{number:,}" for number in numbers),
        distance(batch.created_at, now) if batch.created_at else "",
    )


def _description(batch: Batch, now: float) -> Iterator[str]:
    counts = batch.request_counts
    moments = {stamp: getattr(batch, stamp) for stamp in STAMPS.values()}
    moments["expires_at"] = batch.expires_at
    texts = {
        "id": batch.id,
        "status": _status(batch),
        "endpoint": batch.endpoint,
        "model": batch.model,
        "lines": f"{counts.total:,}: {counts.completed:,} ok, {counts.failed:,} failed",
        **{
            stamp: f"{instant(moment)}, {distance(moment, now)}"
            for stamp, moment in moments.items()
            if moment
        },
        "input_file_id": batch.input_file_id,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        **_spending(batch),
        **{f"metadata.{key}": value for key, value in (batch.metadata or {}).items()},
    }
    yield from details([(name, text) for name, text in texts.items() if text])
    for error in batch.errors:
        place = f"line {error.line:,}: " if error.line else ""
        yield shown(f"error: {place}{error.code}: {error.message}", 1_000)
        yield f"    hint: {hint_for(error)}"


def _spending(batch: Batch) -> dict[str, str]:
    """What the batch used and cost; nothing before its service has counted tokens."""
    from batchsim.pricing.prices import cost

    usage = batch.usage
    if not usage.total_tokens:
        return {}
    paid = cost(batch.model or "", usage, batch=True)
    return {
        "usage": f"{usage.input_tokens:,} tokens in ({usage.cached_tokens:,} cached), "
        f"{usage.output_tokens:,} out ({usage.reasoning_tokens:,} reasoning)",
        "cost": "unknown: the model's price is not listed" if paid is None else money(paid),
    }
