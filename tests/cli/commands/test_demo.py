import json
import re
from decimal import Decimal

import pytest

from batchsim.cli.commands.demo import translations
from tests.repository import DEMO


def test_the_texts_are_those_of_the_real_run() -> None:
    lines = [json.loads(line) for line in (DEMO / "input.jsonl").read_text("utf-8").splitlines()]
    assert [each.request_line() for each in translations(3)] == lines
    answers = json.loads((DEMO / "answers.json").read_text("utf-8"))
    assert {each.custom_id: each.english for each in translations(3)} == answers


def test_the_batch_object_is_the_real_one_but_for_its_ids(batchsim) -> None:
    outcome = batchsim("demo", "--fake")
    printed = next(line for line in outcome.stdout.splitlines() if line.startswith('{"id"'))
    printed = re.sub(r'"batch_\w+"', '"batch_xxxxxxx"', printed)
    printed = re.sub(r'"file-\w+"', '"file-xxxxxxxxx"', printed)
    assert printed + "\n" == (DEMO / "batch.json").read_text("utf-8")


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 17, 4_000_000_000])
@pytest.mark.parametrize(("lines", "seconds"), [(3, 70), (20, 83)])
def test_the_simulated_time_is_that_of_the_real_run(batchsim, seed, lines, seconds) -> None:
    outcome = batchsim("demo", "--fake", "--seed", str(seed), "--lines", str(lines))
    assert outcome.code == 0
    assert f"The results as they arrive, {seconds} s after the start" in outcome.stdout


def test_the_results_arrive_out_of_order_and_are_shown_in_input_order(batchsim) -> None:
    stdout = batchsim("demo", "--lines", "20").stdout
    arrived, ordered = stdout.split("4. The results")[1].split("5. The same in input order")
    ids = re.findall(r"^(request-\d+):$", arrived, re.MULTILINE)
    expected = [f"request-{number}" for number in range(1, 21)]
    assert sorted(ids) == sorted(expected)
    assert ids != expected
    assert re.findall(r"^(request-\d+): ", ordered, re.MULTILINE) == expected
    for each in translations(20):
        assert f"{each.custom_id}:\n{each.japanese}\n->\n{each.english}\n" in arrived
        assert f"{each.custom_id}: {each.english}\n" in ordered


def test_every_status_is_shown_with_its_time(batchsim) -> None:
    stdout = batchsim("demo").stdout
    looks = re.findall(r"^ +(\d+) s  (\w+) +(\d) of (\d) completed", stdout, re.MULTILINE)
    assert looks[0][1] == "validating"
    assert looks[-1][1:] == ("completed", "3", "3")
    times = [int(time) for time, *_ in looks]
    assert times == sorted(times)


def test_the_same_seed_prints_the_same_bytes(batchsim) -> None:
    first, again = batchsim("demo", "--seed", "7"), batchsim("demo", "--seed", "7")
    assert first.stdout == again.stdout
    assert first.stdout != batchsim("demo", "--seed", "8").stdout


def test_the_cost_is_half_the_ordinary_price(batchsim) -> None:
    stdout = batchsim("demo").stdout
    half, full = re.search(
        r"\$([\d.]+) as a batch, \$([\d.]+) at the ordinary price", stdout
    ).groups()
    assert float(half) > 0
    assert float(full) == pytest.approx(2 * float(half))


def test_it_ends_with_a_verdict_on_itself(batchsim) -> None:
    assert re.search(r"\n\nverdict on \d+ requests: clean\n$", batchsim("demo").stdout)


@pytest.mark.parametrize(
    ("scenario", "code", "answered"), [("completed", 0, 3), ("expired_partial", 1, 1)]
)
def test_the_steps_are_told_as_objects(batchsim, scenario, code, answered) -> None:
    outcome = batchsim("demo", "--json", "--scenario", scenario)
    steps = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert outcome.code == code
    kinds = list(dict.fromkeys(step["step"] for step in steps))
    assert kinds == [
        "demo",
        "input",
        "created",
        "look",
        "ended",
        "arrived",
        "result",
        "cost",
        "verdict",
    ]
    results = [step for step in steps if step["step"] == "result"]
    assert [each["custom_id"] for each in results] == ["request-1", "request-2", "request-3"]
    assert sum(each["answer"] is not None for each in results) == answered
    assert all((each["answer"] is None) == (each["error"] is not None) for each in results)
    assert steps[-2]["batch"] == str(Decimal(steps[-2]["ordinary"]) / 2)
    assert steps[-1]["verdict"]["is_clean"] is (code == 0)


@pytest.mark.parametrize("scenario", ["failed_validation", "stuck_finalizing", "all_failed"])
def test_the_objects_of_a_demo_that_goes_wrong(batchsim, scenario) -> None:
    outcome = batchsim("demo", "--json", "--scenario", scenario)
    steps = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert outcome.code == 1
    assert not any(step.get("answer") for step in steps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scenario", "nope"), "there is no scenario called 'nope'"),
        (("--faults", "none.toml"), "none.toml: cannot be read"),
        (("--real",), "there is no API key"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is(batchsim, arguments, words) -> None:
    outcome = batchsim("demo", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
    assert "hint: " in outcome.stderr
