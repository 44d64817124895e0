"""`batchsim demo`: the whole flow of the Batch API, shown on a real batch of April 2024."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.cli.backend import backend_options, real_backend
from batchsim.cli.failures import ALL_GOOD, SOME_FAILED
from batchsim.cli.scenarios import faults_in, list_scenarios, scenario_options
from batchsim.cli.translations import CREATED_AT, MODEL, Translation, translations
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS
from batchsim.domain.limits import HOUR
from batchsim.domain.lines import ResultLine
from batchsim.errors import UsageError
from batchsim.jsonl import read_lines

if TYPE_CHECKING:
    from batchsim.backends.fake import Faults

POLL_SECONDS = 10

SHORT_WAIT = 120
"""Seconds after which looks become rarer."""

LONGEST_WAIT = 26 * HOUR
"""Seconds: a batch that has not ended by then is given up."""


@click.command()
@backend_options
@click.option(
    "--seed", default=0, show_default=True, help="What the simulator's chance depends on."
)
@scenario_options
@click.option(
    "--lines", type=click.Choice(["3", "20"]), default="3", help="How many sentences to translate."
)
def demo(*, backend: str | None, seed: int, scenario: str, plan: Path | None, lines: str) -> int:
    """Put three Japanese sentences into English, as a real batch of April 2024 did.

    Shows the input lines, the Batch object, each status with its time, the results as they
    arrive and in input order, and the cost. On the simulator (the default) this takes a second
    and no key; with --real the same three lines run on the OpenAI API for a fraction of a cent.
    """
    if scenario == "list":
        list_scenarios()
        return ALL_GOOD
    work = list(translations(int(lines)))
    if backend == "real":
        if scenario != "completed" or plan is not None:
            raise UsageError("--scenario and --faults are for the simulator, not for --real")
        heading("The translations of a batch of 17 April 2024, run again on the OpenAI API")
        return play(real_backend(), work)
    heading(f"A real batch of 17 April 2024, replayed on the simulator with seed {seed}")
    click.echo("No key, no network, no waiting: the times below are simulated.")
    return play(fake_backend(seed, work, scenario, faults_in(plan)), work)


def fake_backend(seed: int, work: list[Translation], scenario: str, faults: Faults) -> Backend:
    """The simulator as the service was in April 2024, answering with the real translations."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock

    return FakeBackend(
        seed=seed,
        clock=VirtualClock(start=CREATED_AT),
        pacing="2024",
        responder={each.custom_id: each.sentence.english for each in work},
        scenario=scenario,
        faults=faults,
    )


def play(backend: Backend, work: list[Translation]) -> int:
    """Take `work` through `backend`, telling each step; the exit code."""
    start = backend.clock.now()
    content = input_file(work)
    heading(f"\n1. The input file: one request per line, {counted(len(work), 'line')}")
    click.echo(content.decode(), nl=False)

    heading("\n2. Upload it and create a batch: this Batch object comes back")
    file = backend.upload_file(io.BytesIO(content), filename="translations.jsonl")
    batch = backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    click.echo(json.dumps(batch_object(batch), ensure_ascii=False, separators=(",", ":")))

    heading(f"\n3. Look every {POLL_SECONDS} seconds until it has ended")
    batch = watch(backend, batch, start)
    tell_stamps(batch)
    if not batch.status.is_terminal:
        click.echo(f"It is still {batch.status}, and nobody waits longer than that.")
        return SOME_FAILED
    tell_errors(batch)

    results = list(read_results(backend, batch))
    elapsed = backend.clock.now() - start
    heading(
        f"\n4. The results as they arrive, {elapsed:.0f} s after the start, in no promised order"
    )
    texts = {each.custom_id: each.sentence.japanese for each in work}
    for result in results:
        tell(result, texts)
        click.echo()

    heading("5. The same in input order, put together by custom_id")
    by_id = {result.custom_id: result for result in results}
    for each in work:
        found = by_id.get(each.custom_id)
        click.echo(f"{each.custom_id}: {answer(found) if found else 'no result'}")

    heading("\n6. The cost")
    tell_cost(batch)
    clean_up(backend, batch)
    all_good = len(by_id) == len(work) and all(result.is_ok for result in results)
    return ALL_GOOD if all_good else SOME_FAILED


def input_file(work: list[Translation]) -> bytes:
    """The request lines as JSONL in UTF-8."""
    lines = [json.dumps(each.request_line(), ensure_ascii=False) + "\n" for each in work]
    return "".join(lines).encode()


def batch_object(batch: Batch) -> dict[str, object]:
    """The Batch object as the API printed it in April 2024, before `model` and `usage` existed."""
    value = batch.to_object()
    later = ("model", "usage")
    first = ("id", "object", "endpoint", "errors", "input_file_id", "completion_window", "status")
    return {key: value[key] for key in (*first, *value) if key not in later}


def watch(backend: Backend, batch: Batch, start: float) -> Batch:
    """Poll until the batch has ended, ever less often, printing each look."""
    pause = POLL_SECONDS
    while True:
        counts = batch.request_counts
        click.echo(
            f"{backend.clock.now() - start:6.0f} s  {batch.status:<12}"
            f"{counts.completed} of {counts.total} completed, {counts.failed} failed"
        )
        waited = backend.clock.now() - start
        if batch.status.is_terminal or waited > LONGEST_WAIT:
            return batch
        if waited > SHORT_WAIT:
            pause = min(2 * pause, HOUR)
        backend.clock.sleep(pause)
        batch = backend.retrieve_batch(batch.id)


def tell_errors(batch: Batch) -> None:
    """What validation found, if it failed."""
    for error in batch.errors:
        click.echo(f"Failed: {error.code}: {error.message}")


def tell_stamps(batch: Batch) -> None:
    """When the batch entered each status, by its own fields."""
    stamps = {status: getattr(batch, field) for status, field in STAMPS.items()}
    told = [f"{status} at {at - batch.created_at} s" for status, at in stamps.items() if at]
    click.echo(f"In the batch's own words: {', '.join(told)}")


def read_results(backend: Backend, batch: Batch) -> Iterator[ResultLine]:
    """The lines of the output and error files, in the order of the files."""
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id:
            content = io.BytesIO(b"".join(backend.read_file(file_id)))
            for line in read_lines(content):
                yield ResultLine.from_object(json.loads(line.content))


def tell(result: ResultLine, texts: dict[str, str]) -> None:
    """One result beside the text it belongs to."""
    click.echo(f"{result.custom_id}:\n{texts.get(result.custom_id, '?')}\n->\n{answer(result)}")


def answer(result: ResultLine) -> str:
    """The text of a chat answer, or what went wrong instead."""
    if not result.is_ok or result.response is None:
        return f"failed: {result.error or (result.response and result.response.body)}"
    return str(result.response.body["choices"][0]["message"]["content"])


def tell_cost(batch: Batch) -> None:
    """What the batch cost, against the ordinary price."""
    from batchsim.pricing.prices import cost

    half, full = cost(MODEL, batch.usage, batch=True), cost(MODEL, batch.usage, batch=False)
    tokens = f"{batch.usage.input_tokens} tokens in, {batch.usage.output_tokens} out"
    if half is None or full is None:
        click.echo(f"{tokens}; the price of {MODEL} is not known")
    else:
        click.echo(f"{tokens}: ${half:f} as a batch, ${full:f} at the ordinary price of {MODEL}")


def clean_up(backend: Backend, batch: Batch) -> None:
    """Delete the files, and tell what the simulator, if it was one, has to say of its client."""
    for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
        if file_id:
            backend.delete_file(file_id)
    tell_verdict(backend)


def tell_verdict(backend: Backend) -> None:
    """The verdict of a simulator on what it was asked."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.verdict import judge

    if isinstance(backend, FakeBackend):
        click.echo(f"\n{judge(backend.history())}")


def heading(text: str) -> None:
    """A line that names what follows."""
    click.secho(text, bold=True)
