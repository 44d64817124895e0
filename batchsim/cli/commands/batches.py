"""`batchsim batches`: look at the batches of a service, and cancel them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from batchsim.amounts import distance, instant, money
from batchsim.cli.options import listing
from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.table import columns, details
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS
from batchsim.domain.limits import OPENAI
from batchsim.domain.validation.error_explanation import hint_for, shown

if TYPE_CHECKING:
    from batchsim.backends import Backend

_COLUMNS = columns("ID", "STATUS", "ENDPOINT", ">LINES", ">OK", ">FAILED", ">CREATED")


@click.group(
    epilog=examples(
        "batches list", "batches show batch_abc123", "batches cancel batch_abc123 batch_def456"
    )
)
def batches() -> None:
    """List, show and cancel the batches of a service.

    The key is read from OPENAI_API_KEY. OPENAI_BASE_URL names another service, such as `batchsim
    serve`. Nothing here costs money. Exits 1 if an id was refused; the other ids are done.
    """


@batches.command("list")
@listing.list_options
@listing.prints_objects
def list_command(*, backend: Backend, limit: int | None, as_json: bool) -> int:
    """List the batches, the newest first."""
    row = partial(_row, now=backend.clock.now())
    most = OPENAI.batches_per_page
    ask = backend.list_batches
    return listing.print_list(ask, _COLUMNS, row, limit=limit, page_size=most, as_json=as_json)


@batches.command("show")
@listing.ids_argument("BATCH_ID")
@listing.prints_objects
def show_command(*, backend: Backend, ids: tuple[str, ...], as_json: bool) -> int:
    """Show a batch: its times, files, usage, cost and errors."""
    lines = partial(_description, now=backend.clock.now())
    return listing.print_each(ids, backend.retrieve_batch, lines, as_json=as_json)


@batches.command("cancel")
@listing.ids_argument("BATCH_ID")
@listing.prints_objects
def cancel_command(*, backend: Backend, ids: tuple[str, ...], as_json: bool) -> int:
    """Cancel batches. Lines that have finished keep their results, and are paid."""
    return listing.print_each(
        ids,
        backend.cancel_batch,
        lambda batch: [f"{shown(batch.id)} is {shown(_status(batch))}"],
        as_json=as_json,
    )


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
