"""`batchsim demo`: the whole flow of the Batch API, shown on a real batch of April 2024.

The three translations that the demo replays, from a real batch of 17 April 2024.

How `batchsim demo` tells its steps: in words, or one JSON object per step.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import click

from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.cli.commands.scenarios import faults_in, list_scenarios, scenario_options
from batchsim.cli.options.backend import backend_options, real_backend
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS
from batchsim.domain.limits import HOUR
from batchsim.domain.lines import ResultLine
from batchsim.errors import UsageError
from batchsim.jsonl import read_lines

MODEL = "gpt-3.5-turbo"
CREATED_AT = 1_713_330_734
"""When the real batch was created: 2024-04-17T05:12:14Z, in unix seconds."""

INSTRUCTION = "あなたは英語翻訳者です。与えられらた文章の英訳のみを出力してください。"


class Sentence(NamedTuple):
    """A sentence as it was sent, and the translation that came back."""

    japanese: str
    english: str


SENTENCES = (
    Sentence(
        "OpenAIからバッチAPIがリリースされました。コストが半額になるよ！",
        "Batch API has been released by OpenAI. The cost will be half!",
    ),
    Sentence(
        "OpenAIのダッシュボードからプロジェクトの概念が導入されたよ！",
        "Project concepts have been introduced in OpenAI's Dashboard!",
    ),
    Sentence(
        "アシスタントAPIでストリームレスポンスが使えるようなったよ！",
        "The stream response is now available in the Assistant API!",
    ),
)


class Translation(NamedTuple):
    """One request line, with the text that it asks to translate and the answer to expect."""

    custom_id: str
    sentence: Sentence

    def request_line(self) -> dict[str, Any]:
        """The line of the input file."""
        messages = [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": self.sentence.japanese},
        ]
        return {
            "custom_id": self.custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": messages},
        }


def translations(lines: int) -> Iterator[Translation]:
    """`lines` translations, `request-1` onward; the sentences repeat."""
    for index in range(lines):
        yield Translation(f"request-{index + 1}", SENTENCES[index % len(SENTENCES)])


if TYPE_CHECKING:
    from batchsim.backends.fake import Faults
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
    from batchsim.cli.terminal.output import print_json

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
