"""`batchsim demo`: the whole flow of the Batch API, shown on a real batch of 17 April 2024."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.cli.commands.scenarios import faults_in, list_scenarios, scenario_options
from batchsim.cli.options.backend import backend_options, real_backend
from batchsim.cli.options.groups import examples
from batchsim.cli.options.job import seed_option
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED
from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS
from batchsim.domain.limits import HOUR
from batchsim.domain.lines import ResultLine
from batchsim.errors import UsageError
from batchsim.jsonl import read_lines

if TYPE_CHECKING:
    from batchsim.backends.fake import Faults

MODEL = "gpt-3.5-turbo"
ENDPOINT = "/v1/chat/completions"
CREATED_AT = 1_713_330_734
"""When the real batch was created: 2024-04-17T05:12:14Z, in unix seconds."""

INSTRUCTION = "あなたは英語翻訳者です。与えられらた文章の英訳のみを出力してください。"
SENTENCES = (
    (
        "OpenAIからバッチAPIがリリースされました。コストが半額になるよ！",
        "Batch API has been released by OpenAI. The cost will be half!",
    ),
    (
        "OpenAIのダッシュボードからプロジェクトの概念が導入されたよ！",
        "Project concepts have been introduced in OpenAI's Dashboard!",
    ),
    (
        "アシスタントAPIでストリームレスポンスが使えるようなったよ！",
        "The stream response is now available in the Assistant API!",
    ),
)
"""Each sentence as it was sent, and the translation that came back."""

POLL_SECONDS = 10
SHORT_WAIT = 120
LONGEST_WAIT = 26 * HOUR
"""Seconds after which a batch that has not ended is given up."""

_LATER_FIELDS = ("model", "usage")
_FIRST_FIELDS = (
    "id", "object", "endpoint", "errors", "input_file_id", "completion_window", "status"
)  # fmt: skip
"""The API of April 2024 printed a batch in this order, and without the later fields."""


class Translation(NamedTuple):
    custom_id: str
    japanese: str
    english: str

    def request_line(self) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": self.japanese},
        ]
        return {
            "custom_id": self.custom_id,
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": MODEL, "messages": messages},
        }


def translations(lines: int) -> list[Translation]:
    return [
        Translation(f"request-{index + 1}", *SENTENCES[index % len(SENTENCES)])
        for index in range(lines)
    ]


@click.command(epilog=examples("demo", "demo --lines 20 --scenario some_failed", "demo --real"))
@backend_options
@seed_option
@scenario_options
@click.option(
    "--lines", type=click.Choice(["3", "20"]), default="3", help="How many sentences to translate."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per step.")
def demo(
    *, backend: str | None, seed: int, scenario: str, plan: Path | None, lines: str, as_json: bool
) -> int:
    """Replay a batch of April 2024: three sentences into English.

    It shows the input lines, the Batch object, each status with its time, the results as they
    arrive and in input order, and the cost. On the fake (the default) this takes a second and
    needs no key. With --real the same three lines run on the OpenAI API, for a fraction of a cent.
    """
    if scenario == "list":
        list_scenarios()
        return ALL_GOOD
    work = translations(int(lines))
    if backend == "real":
        if scenario != "completed" or plan is not None:
            raise UsageError("--scenario and --faults are for the simulator, not for --real")
        service: Backend = real_backend()
        title = "The translations of a batch of 17 April 2024, run again on the OpenAI API"
        notes = []
    else:
        service = _fake_backend(seed, work, scenario, faults_in(plan))
        title = f"A real batch of 17 April 2024, replayed on the simulator with seed {seed}"
        notes = ["No key, no network, no waiting: the times below are simulated."]
    demonstration = _Demonstration(service, work, as_json=as_json)
    demonstration.show("demo", title, *notes, title=title)
    return demonstration.play()


def _fake_backend(seed: int, work: list[Translation], scenario: str, faults: Faults) -> Backend:
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock

    return FakeBackend(
        seed=seed,
        clock=VirtualClock(start=CREATED_AT),
        pacing="2024",
        responder={each.custom_id: each.english for each in work},
        scenario=scenario,
        faults=faults,
    )


class _Demonstration:
    def __init__(self, backend: Backend, work: list[Translation], *, as_json: bool) -> None:
        self._backend = backend
        self._work = work
        self._as_json = as_json
        self._start = backend.clock.now()

    def show(self, step: str, heading: str, *lines: str, **facts: Any) -> None:
        """Show a step: its heading, if any, and the lines; or its facts as one JSON object."""
        from batchsim.cli.terminal.output import print_json

        if self._as_json:
            return print_json({"step": step, **facts})
        if heading:
            click.secho(heading, bold=True)
        for line in lines:
            click.echo(line)
        return None

    def play(self) -> int:
        batch = self._poll(self._create())
        self._show_end(batch)
        if not batch.status.is_terminal:
            return SOME_FAILED
        results = self._arrived(batch)
        by_id = {result.custom_id: result for result in results}
        self._show_in_order(by_id)
        self._show_cost(batch)
        for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
            if file_id:
                self._backend.delete_file(file_id)
        self._show_verdict()
        all_good = len(by_id) == len(self._work) and all(each.is_ok for each in results)
        return ALL_GOOD if all_good else SOME_FAILED

    def _create(self) -> Batch:
        lines = [each.request_line() for each in self._work]
        text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        content = f"{text}\n".encode()
        some = counted(len(lines), "line")
        heading = f"\n1. The input file: one request per line, {some}"
        self.show("input", heading, text, bytes=len(content), lines=lines)
        file = self._backend.upload_file(io.BytesIO(content), filename="translations.jsonl")
        batch = self._backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT)
        value = batch.to_object()
        order = dict.fromkeys((*_FIRST_FIELDS, *value))
        shown = {key: value[key] for key in order if key not in _LATER_FIELDS}
        text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
        heading = "\n2. Upload it and create a batch: this Batch object comes back"
        self.show("created", heading, text, batch=value)
        return batch

    def _poll(self, batch: Batch) -> Batch:
        pause, waited = POLL_SECONDS, self._waited()
        heading = f"\n3. Look every {POLL_SECONDS} seconds until it has ended"
        while True:
            counts = batch.request_counts
            text = f"{counts.completed} of {counts.total} completed, {counts.failed} failed"
            self.show(
                "look",
                heading,
                f"{waited:6.0f} s  {batch.status:<12}{text}",
                seconds=waited,
                status=batch.status,
                request_counts=batch.to_object()["request_counts"],
            )
            if batch.status.is_terminal or waited > LONGEST_WAIT:
                return batch
            if waited > SHORT_WAIT:
                pause = min(2 * pause, HOUR)
            self._backend.clock.sleep(pause)
            batch = self._backend.retrieve_batch(batch.id)
            heading, waited = "", self._waited()

    def _show_end(self, batch: Batch) -> None:
        stamps = {status: getattr(batch, field) for status, field in STAMPS.items()}
        times = [f"{status} at {at - batch.created_at} s" for status, at in stamps.items() if at]
        more = [f"Failed: {error.code}: {error.message}" for error in batch.errors]
        if not batch.status.is_terminal:
            more = [f"It is still {batch.status}, and nobody waits longer than that."]
        text = f"In the batch's own words: {', '.join(times)}"
        self.show("ended", "", text, *more, batch=batch.to_object())

    def _arrived(self, batch: Batch) -> list[ResultLine]:
        results = list(_read_results(self._backend, batch))
        asked = {each.custom_id: each.japanese for each in self._work}
        waited = self._waited()
        self.show(
            "arrived",
            f"\n4. The results as they arrive, {waited:.0f} s after the start, "
            "in no promised order",
            *(
                f"{each.custom_id}:\n{asked.get(each.custom_id, '?')}\n->\n{_answer(each)}\n"
                for each in results
            ),
            seconds=waited,
            custom_ids=[each.custom_id for each in results],
        )
        return results

    def _show_in_order(self, results: dict[str, ResultLine]) -> None:
        heading = "5. The same in input order, put together by custom_id"
        for custom_id, *_ in self._work:
            result = results.get(custom_id)
            reason = result.reason if result else None
            self.show(
                "result",
                heading,
                f"{custom_id}: {_answer(result) if result else 'no result'}",
                custom_id=custom_id,
                answer=_answer(result) if result and result.is_ok else None,
                error=reason._asdict() if reason else None,
            )
            heading = ""

    def _show_cost(self, batch: Batch) -> None:
        from batchsim.pricing.prices import cost

        usage = batch.usage
        half, full = (cost(MODEL, usage, batch=in_batch) for in_batch in (True, False))
        text = f"; the price of {MODEL} is not known"
        if half is not None and full is not None:
            text = f": ${half:f} as a batch, ${full:f} at the ordinary price of {MODEL}"
        self.show(
            "cost",
            "\n6. The cost",
            f"{usage.input_tokens} tokens in, {usage.output_tokens} out{text}",
            model=MODEL,
            usage=batch.to_object()["usage"],
            batch=None if half is None else str(half),
            ordinary=None if full is None else str(full),
        )

    def _show_verdict(self) -> None:
        """Show what the simulator says of its client; other services say nothing."""
        from batchsim.backends.fake import FakeBackend
        from batchsim.verdict import judge

        if isinstance(self._backend, FakeBackend):
            verdict = judge(self._backend.history())
            self.show("verdict", "", f"\n{verdict}", verdict=verdict.to_object())

    def _waited(self) -> float:
        return self._backend.clock.now() - self._start


def _read_results(backend: Backend, batch: Batch) -> Iterator[ResultLine]:
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id:
            content = io.BytesIO(b"".join(backend.read_file(file_id)))
            for line in read_lines(content):
                yield ResultLine.from_object(json.loads(line.content))


def _answer(result: ResultLine) -> str:
    if not result.is_ok or result.response is None:
        return f"failed: {result.error or (result.response and result.response.body)}"
    return str(result.response.body["choices"][0]["message"]["content"])
