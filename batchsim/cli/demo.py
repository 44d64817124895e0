"""`batchsim demo`: the whole flow of the Batch API, shown on a real batch of April 2024."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsim.backends import Backend
from batchsim.cli.backend import backend_options, real_backend
from batchsim.cli.failures import ALL_GOOD, SOME_FAILED
from batchsim.cli.scenarios import faults_in, list_scenarios, scenario_options
from batchsim.cli.telling import POLL_SECONDS, InJson, InWords, Telling
from batchsim.cli.translations import CREATED_AT, Translation, translations
from batchsim.domain.batches import Batch
from batchsim.domain.limits import HOUR
from batchsim.domain.lines import ResultLine
from batchsim.errors import UsageError
from batchsim.jsonl import read_lines

if TYPE_CHECKING:
    from batchsim.backends.fake import Faults
    from batchsim.verdict import Verdict

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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per step.")
def demo(
    *,
    backend: str | None,
    seed: int,
    scenario: str,
    plan: Path | None,
    lines: str,
    as_json: bool,
) -> int:
    """Replay a batch of April 2024: three sentences into English.

    Shows the input lines, the Batch object, each status with its time, the results as they
    arrive and in input order, and the cost. On the simulator (the default) this takes a second
    and no key; with --real the same three lines run on the OpenAI API for a fraction of a cent.
    """
    if scenario == "list":
        list_scenarios()
        return ALL_GOOD
    work = list(translations(int(lines)))
    telling = InJson() if as_json else InWords()
    if backend == "real":
        if scenario != "completed" or plan is not None:
            raise UsageError("--scenario and --faults are for the simulator, not for --real")
        service: Backend = real_backend()
        telling.open("The translations of a batch of 17 April 2024, run again on the OpenAI API")
        return play(service, work, telling)
    service = fake_backend(seed, work, scenario, faults_in(plan))
    telling.open(
        f"A real batch of 17 April 2024, replayed on the simulator with seed {seed}",
        "No key, no network, no waiting: the times below are simulated.",
    )
    return play(service, work, telling)


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


def play(backend: Backend, work: list[Translation], telling: Telling) -> int:
    """Take `work` through `backend`, telling each step; the exit code."""
    start = backend.clock.now()
    content = input_file(work)
    telling.begin(work, content)
    file = backend.upload_file(io.BytesIO(content), filename="translations.jsonl")
    batch = backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    telling.created(batch)
    batch = watch(backend, batch, start, telling)
    telling.ended(batch)
    if not batch.status.is_terminal:
        return SOME_FAILED
    results = list(read_results(backend, batch))
    telling.arrived(results, backend.clock.now() - start)
    by_id = {result.custom_id: result for result in results}
    telling.ordered([(each.custom_id, by_id.get(each.custom_id)) for each in work])
    telling.paid(batch)
    clean_up(backend, batch)
    verdict = verdict_on(backend)
    if verdict is not None:
        telling.judged(verdict)
    all_good = len(by_id) == len(work) and all(result.is_ok for result in results)
    return ALL_GOOD if all_good else SOME_FAILED


def input_file(work: list[Translation]) -> bytes:
    """The request lines as JSONL in UTF-8."""
    lines = [json.dumps(each.request_line(), ensure_ascii=False) + "\n" for each in work]
    return "".join(lines).encode()


def watch(backend: Backend, batch: Batch, start: float, telling: Telling) -> Batch:
    """Poll until the batch has ended, ever less often, telling each look."""
    pause = POLL_SECONDS
    while True:
        waited = backend.clock.now() - start
        telling.looked(batch, waited)
        if batch.status.is_terminal or waited > LONGEST_WAIT:
            return batch
        if waited > SHORT_WAIT:
            pause = min(2 * pause, HOUR)
        backend.clock.sleep(pause)
        batch = backend.retrieve_batch(batch.id)


def read_results(backend: Backend, batch: Batch) -> Iterator[ResultLine]:
    """The lines of the output and error files, in the order of the files."""
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id:
            content = io.BytesIO(b"".join(backend.read_file(file_id)))
            for line in read_lines(content):
                yield ResultLine.from_object(json.loads(line.content))


def clean_up(backend: Backend, batch: Batch) -> None:
    """Delete the files."""
    for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
        if file_id:
            backend.delete_file(file_id)


def verdict_on(backend: Backend) -> Verdict | None:
    """What a simulator has to say of its client; None of any other service."""
    from batchsim.backends.fake import FakeBackend
    from batchsim.verdict import judge

    return judge(backend.history()) if isinstance(backend, FakeBackend) else None
