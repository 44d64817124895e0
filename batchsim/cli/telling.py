"""How `batchsim demo` tells its steps: in words, or one JSON object per step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import click

from batchsim.amounts import counted
from batchsim.cli.translations import MODEL, Translation
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS
from batchsim.domain.lines import ResultLine

if TYPE_CHECKING:
    from batchsim.verdict import Verdict

POLL_SECONDS = 10


class Telling(Protocol):
    """What is told of a demo, step by step. Times are in seconds after its start."""

    def open(self, *lines: str) -> None:
        """What this is."""

    def begin(self, work: Sequence[Translation], content: bytes) -> None:
        """The input file."""

    def created(self, batch: Batch) -> None:
        """The batch as it came back."""

    def looked(self, batch: Batch, seconds: float) -> None:
        """One look at it."""

    def ended(self, batch: Batch) -> None:
        """How it ended, or that it did not."""

    def arrived(self, results: Sequence[ResultLine], seconds: float) -> None:
        """The results in the order of the files."""

    def ordered(self, results: Sequence[tuple[str, ResultLine | None]]) -> None:
        """The result of each line of the input, by its custom_id."""

    def paid(self, batch: Batch) -> None:
        """The tokens and what they cost."""

    def judged(self, verdict: Verdict) -> None:
        """What the simulator has to say of its client."""


class InWords:
    """For people."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def open(self, *lines: str) -> None:
        """What this is."""
        _heading(lines[0])
        for line in lines[1:]:
            click.echo(line)

    def begin(self, work: Sequence[Translation], content: bytes) -> None:
        """The input file."""
        self._texts = {each.custom_id: each.sentence.japanese for each in work}
        _heading(f"\n1. The input file: one request per line, {counted(len(work), 'line')}")
        click.echo(content.decode(), nl=False)

    def created(self, batch: Batch) -> None:
        """The batch as the API printed it in April 2024, before `model` and `usage` existed."""
        _heading("\n2. Upload it and create a batch: this Batch object comes back")
        value = batch.to_object()
        later = ("model", "usage")
        first = ("id", "object", "endpoint", "errors", "input_file_id", "completion_window")
        order = (*first, "status", *value)
        shown = {key: value[key] for key in order if key not in later}
        click.echo(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))
        _heading(f"\n3. Look every {POLL_SECONDS} seconds until it has ended")

    def looked(self, batch: Batch, seconds: float) -> None:
        """One look at it."""
        counts = batch.request_counts
        click.echo(
            f"{seconds:6.0f} s  {batch.status:<12}"
            f"{counts.completed} of {counts.total} completed, {counts.failed} failed"
        )

    def ended(self, batch: Batch) -> None:
        """When it entered each status, by its own fields, and what validation found."""
        stamps = {status: getattr(batch, field) for status, field in STAMPS.items()}
        told = [f"{status} at {at - batch.created_at} s" for status, at in stamps.items() if at]
        click.echo(f"In the batch's own words: {', '.join(told)}")
        if not batch.status.is_terminal:
            click.echo(f"It is still {batch.status}, and nobody waits longer than that.")
            return
        for error in batch.errors:
            click.echo(f"Failed: {error.code}: {error.message}")

    def arrived(self, results: Sequence[ResultLine], seconds: float) -> None:
        """The results in the order of the files."""
        _heading(
            f"\n4. The results as they arrive, {seconds:.0f} s after the start, in no promised order"
        )
        for result in results:
            asked = self._texts.get(result.custom_id, "?")
            click.echo(f"{result.custom_id}:\n{asked}\n->\n{_answer(result)}\n")

    def ordered(self, results: Sequence[tuple[str, ResultLine | None]]) -> None:
        """The result of each line of the input."""
        _heading("5. The same in input order, put together by custom_id")
        for custom_id, result in results:
            click.echo(f"{custom_id}: {_answer(result) if result else 'no result'}")

    def paid(self, batch: Batch) -> None:
        """What the batch cost, against the ordinary price."""
        half, full = _costs(batch)
        tokens = f"{batch.usage.input_tokens} tokens in, {batch.usage.output_tokens} out"
        _heading("\n6. The cost")
        if half is None or full is None:
            click.echo(f"{tokens}; the price of {MODEL} is not known")
        else:
            click.echo(
                f"{tokens}: ${half:f} as a batch, ${full:f} at the ordinary price of {MODEL}"
            )

    def judged(self, verdict: Verdict) -> None:
        """What the simulator has to say of its client."""
        click.echo(f"\n{verdict}")


class InJson:
    """For programs: an object per step, each with its name as `step`. Costs are texts, in US dollars."""

    def open(self, *lines: str) -> None:
        """What this is."""
        _print("demo", title=lines[0])

    def begin(self, work: Sequence[Translation], content: bytes) -> None:
        """The input file."""
        lines = [each.request_line() for each in work]
        _print("input", bytes=len(content), lines=lines)

    def created(self, batch: Batch) -> None:
        """The batch as it came back."""
        _print("created", batch=batch.to_object())

    def looked(self, batch: Batch, seconds: float) -> None:
        """One look at it."""
        counts = batch.to_object()["request_counts"]
        _print("look", seconds=seconds, status=batch.status, request_counts=counts)

    def ended(self, batch: Batch) -> None:
        """How it ended, or that it did not."""
        _print("ended", batch=batch.to_object())

    def arrived(self, results: Sequence[ResultLine], seconds: float) -> None:
        """The custom_ids in the order of the files."""
        _print("arrived", seconds=seconds, custom_ids=[each.custom_id for each in results])

    def ordered(self, results: Sequence[tuple[str, ResultLine | None]]) -> None:
        """The result of each line of the input; its answer is null where there is none."""
        for custom_id, result in results:
            is_ok = result is not None and result.is_ok
            text = _answer(result) if result is not None and is_ok else None
            reason = result.reason if result is not None else None
            _print(
                "result",
                custom_id=custom_id,
                answer=text,
                error=reason._asdict() if reason is not None else None,
            )

    def paid(self, batch: Batch) -> None:
        """The tokens and what they cost; null where that is not known."""
        half, full = (None if each is None else str(each) for each in _costs(batch))
        usage = batch.to_object()["usage"]
        _print("cost", model=MODEL, usage=usage, batch=half, ordinary=full)

    def judged(self, verdict: Verdict) -> None:
        """What the simulator has to say of its client."""
        _print("verdict", verdict=verdict.to_object())


def _print(step: str, **told: Any) -> None:
    from batchsim.cli.output import print_json

    print_json({"step": step, **told})


def _heading(text: str) -> None:
    """A line that names what follows."""
    click.secho(text, bold=True)


def _answer(result: ResultLine) -> str:
    """The text of a chat answer, or what went wrong instead."""
    if not result.is_ok or result.response is None:
        return f"failed: {result.error or (result.response and result.response.body)}"
    return str(result.response.body["choices"][0]["message"]["content"])


def _costs(batch: Batch) -> tuple[Decimal | None, Decimal | None]:
    """In a batch and at the ordinary price, in US dollars."""
    from batchsim.pricing.prices import cost

    return cost(MODEL, batch.usage, batch=True), cost(MODEL, batch.usage, batch=False)
