"""check_pipeline: what it lets pass, what it finds, and how it tells it."""

import asyncio
import json
import subprocess
import sys
import time

import openai
import pytest

import batchsim
from batchsim.domain.lines import ResultLine
from batchsim.errors import UsageError
from batchsim.testing.example import FIRST_EXAMPLES, LEGAL, Example, Failure, answer_to
from batchsim.testing.pipeline_check import PipelineFailed
from batchsim.testing.run_example import Complaint, ExampleResult

pytestmark = pytest.mark.sdk

CHAT = "/v1/chat/completions"


def submitted(client, lines):
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")


def waited(client, lines, pause=60):
    batch = submitted(client, lines)
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        if pause:
            time.sleep(pause)
        batch = client.batches.retrieve(batch.id)
    return batch


def results(client, lines, pause=60):
    """Right on a sunny day."""
    batch = waited(client, lines, pause)
    found = {}
    for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in client.files.content(file_id).text.splitlines():
            found[json.loads(line)["custom_id"]] = json.loads(line)
    return [found.get(line["custom_id"]) for line in lines]


def sunny(lines):
    return results(openai.OpenAI(), lines)


def texts(lines):
    return [
        each and each["response"]["body"]["choices"][0]["message"]["content"]
        for each in sunny(lines)
    ]


def no_pause(lines):
    return results(openai.OpenAI(), lines, pause=0)


def values(lines):
    return [each and ResultLine.from_object(each) for each in sunny(lines)]


async def in_a_task(lines):
    await asyncio.sleep(3_600)
    return await asyncio.to_thread(sunny, lines)


def says_none_for_what_is_not_there(lines):
    return [each if each and each["response"] else None for each in sunny(lines)]


def as_replies(run, text):
    return batchsim.check_pipeline(run, replay=text)


@pytest.mark.parametrize(
    "run", [sunny, texts, no_pause, values, in_a_task, says_none_for_what_is_not_there]
)
@pytest.mark.parametrize("text", ["lines=3 order=shuffled", "lines=3 ids=unicode", "lines=0"])
def test_what_is_right_passes(run, text):
    if text == "lines=0":
        run = lambda lines: [] if not lines else None  # noqa: E731
    assert as_replies(run, text) == 1


def wrong(run, text, **options):
    with pytest.raises(PipelineFailed) as failed:
        batchsim.check_pipeline(run, replay=text, **options)
    return failed.value


def loses_one(lines):
    return [None, *sunny(lines)[1:]]


def shortens(lines):
    return sunny(lines)[1:]


def doubles(lines):
    return [*sunny(lines), sunny(lines)[0]]


def swaps(lines):
    return sunny(lines)[::-1]


def swaps_texts(lines):
    return texts(lines)[::-1]


def swaps_ids_only(lines):
    found = sunny(lines)
    return [{**each, "custom_id": found[0]["custom_id"]} for each in found]


def makes_up(lines):
    return ["no idea" for _ in sunny(lines)]


def makes_up_an_answer(lines):
    return [answer_to(line["custom_id"]) for line in lines]


def returns_a_text(lines):
    return "".join(texts(lines))


def raises_late(lines):
    raise KeyError(sunny(lines)[0]["custom_id"])


def exits(lines):
    sunny(lines)
    sys.exit(3)


def leaves(lines):
    submitted(openai.OpenAI(), lines)
    return [None for _ in lines]


def pays_twice(lines):
    submitted(openai.OpenAI(), lines)
    return sunny(lines)


def never_ends(lines):
    client = openai.OpenAI()
    while True:
        client.batches.list()


def sleeps_for_ever(lines):
    while True:
        time.sleep(60)


def reads_whole(lines):
    client = openai.OpenAI()
    client.files.content(waited(client, lines).output_file_id)
    return [{"custom_id": line["custom_id"], "response": None, "error": None} for line in lines]


@pytest.mark.parametrize(
    ("run", "kind", "words"),
    [
        (loses_one, "loses", "item 0, for 'request-0', is None"),
        (shortens, "loses", "it returned 1 item for 2 lines"),
        (leaves, "loses", "the service has a good answer, which is paid, in file-"),
        (doubles, "doubles", "it returned 3 items for 2 lines"),
        (swaps, "misorders", "expected: the result of 'request-0'"),
        (swaps_texts, "misorders", "expected: 'the answer to request-0'"),
        (swaps_ids_only, "misorders", "expected: the result of 'request-1'"),
        (makes_up, "makes_up", "item 0, for 'request-0', is 'no idea'"),
        (makes_up_an_answer, "makes_up", "nobody answered it"),
        (returns_a_text, "loses", "it returned str; a list"),
        (raises_late, "raises", "it raised KeyError: 'request-0'"),
        (exits, "raises", "it raised SystemExit: 3"),
        (pays_twice, "double_pays", "holds 'request-0', 'request-1' of batch_"),
        (never_ends, "never_ends", "it made 100 requests and went on"),
        (sleeps_for_ever, "never_ends", "the code under test has slept 500 times"),
    ],
)
def test_each_kind_of_mistake_is_told(run, kind, words, monkeypatch):
    monkeypatch.setattr("batchsim.testing.virtual_sleep.MOST_SLEEPS", 500)
    monkeypatch.setattr("batchsim.testing.run_example.MOST_REQUESTS", 100)
    failed = wrong(run, "lines=2")
    assert (failed.kind, failed.replay) == (kind, "lines=2")
    assert words in str(failed)
    assert f"check_pipeline({run.__name__}, replay='lines=2')" in str(failed)


def test_large_results_in_one_piece_are_told_unless_allowed():
    assert wrong(reads_whole, "lines=1 bulky=yes", allow=["loses"]).kind == "loads_all_in_memory"
    allow = ["loses", "loads_all_in_memory"]
    batchsim.check_pipeline(reads_whole, replay="lines=1 bulky=yes", allow=allow)


def test_a_line_that_nobody_answered_may_be_none_or_an_error_or_an_exception():
    def all_failed(lines):
        found = sunny(lines)
        if not any(each["response"]["status_code"] == 200 for each in found):
            raise LookupError
        return found

    for run in (sunny, all_failed, lambda lines: [None for _ in sunny(lines)]):
        batchsim.check_pipeline(run, replay="lines=2 answers=0:400,1:500")
    assert wrong(all_failed and raises_late, "lines=2 answers=0:400").kind == "raises"


def test_an_exception_that_says_not_finished_is_no_loss():
    def gives_up(lines):
        sunny(lines)
        raise TimeoutError

    assert wrong(gives_up, "lines=1").kind == "raises"
    batchsim.check_pipeline(gives_up, replay="lines=1", raises=TimeoutError)


def test_lines_of_ones_own_are_used():
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    own = [
        {"custom_id": name, "method": "POST", "url": CHAT, "body": body} for name in ("x", "y", "z")
    ]
    got = []

    def run(lines):
        got.append([line["custom_id"] for line in lines])
        lines[0]["custom_id"] = "changed"
        return sunny(
            [{**line, "custom_id": name} for line, name in zip(lines, "xyz", strict=False)]
        )

    batchsim.check_pipeline(run, lines=own, examples=1)
    assert got == [["x", "y", "z"]]
    assert own[0]["custom_id"] == "x"


def test_the_story_is_whole():
    text = "lines=1 scenario=late_output_file answers=0:429x1 seed=3"
    lines = str(wrong(makes_up, text)).splitlines()
    assert lines[:7] == [
        "makes_up returns what is no answer of the service",
        "  item 0, for 'request-0', is 'no idea'",
        "  expected: 'the answer to request-0', or None for no answer",
        "",
        "1 line; the results are in input order",
        "late_output_file: an ended batch names its files half a minute late",
        "line 0 is answered with 429, 1 time",
    ]
    assert lines[7].startswith("       0 s  upload_file input.jsonl -> file-")
    assert lines[-2:] == [
        "",
        f"replayed: {text}; again: batchsim.check_pipeline(makes_up, replay={text!r})",
    ]


def test_the_same_seed_tries_the_same_and_finds_the_same():
    def bad(lines):
        return sunny(lines) if len(lines) < 3 else loses_one(lines)

    stories = []
    for _ in range(2):
        with pytest.raises(PipelineFailed) as failed:
            batchsim.check_pipeline(bad, seed=7, seconds=None, examples=30, allow=["double_pays"])
        stories.append(str(failed.value))
    assert stories[0] == stories[1]


def test_what_telling_examples_do_not_show_is_searched_and_made_short(monkeypatch):
    monkeypatch.setattr("batchsim.testing.example.FIRST_EXAMPLES", FIRST_EXAMPLES[:1])
    tried = []

    def odd(lines):
        tried.append(lines)
        ids = [line["custom_id"] for line in lines]
        return [None] if ids == ["12"] else [None for _ in lines]

    def run_one(run, example, lines=None, **options):
        run(example.request_lines())
        is_wrong = example.ids == "numbers" and example.lines > 1
        complaint = Complaint("loses", ("odd",)) if is_wrong else None
        return ExampleResult(complaint, "", None)

    monkeypatch.setattr("batchsim.testing.pipeline_check.run_example", run_one)
    with pytest.raises(PipelineFailed) as failed:
        batchsim.check_pipeline(odd, seconds=None, examples=400)
    assert failed.value.replay == "lines=2 ids=numbers"


def test_time_that_is_up_ends_the_search():
    assert batchsim.check_pipeline(sunny, seconds=0.0) <= 1


@pytest.mark.parametrize("text", ["nonsense", "lines=x", "lines=1 scenario=sunshine", "ids=roman"])
def test_what_is_no_replay_is_said(text):
    with pytest.raises(UsageError, match="is no example"):
        batchsim.check_pipeline(sunny, replay=text)


def test_what_cannot_be_allowed_is_said():
    with pytest.raises(UsageError, match="no 'lost' to allow"):
        batchsim.check_pipeline(sunny, allow="lost")


@pytest.mark.parametrize(
    "example",
    [
        Example(),
        Example(lines=3, order="shuffled", scenario=LEGAL[:2], ids="unicode", bulky=True, seed=4),
        Example(answers=(Failure(0, 400), Failure(1, 429, 2))),
        *FIRST_EXAMPLES,
    ],
)
def test_an_example_is_its_text(example):
    assert Example.from_text(str(example)) == example


def test_strategies_and_the_check_load_hypothesis_only_when_asked_for():
    script = "import sys, batchsim; batchsim.check_pipeline; print('hypothesis' in sys.modules)"
    script += "; batchsim.strategies; print('hypothesis' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]
