"""Measuring: figures are made of costs as the rows say, and runs can be compared."""

import json
import sys
from pathlib import Path

import pytest

from batchsim.domain.validation.input_file import InputRules
from batchsim.jsonl import read_blocks
from bench.bench import Bench, Result, Version, chosen
from bench.inputs import SHAPES, smaller
from bench.measure import Cost, Failed, cost_of
from bench.parts import FLOOR, PARTS, parts
from bench.record import append_to, comparison, entry, last_in, markdown, number
from bench.rows import (
    BARE,
    Program,
    Row,
    cpu_of_lines,
    fact,
    memory,
    ours,
    seconds_beyond,
    wall,
)
from bench.suite import KEYS, ROWS


@pytest.mark.parametrize("name", SHAPES)
def test_inputs_are_valid_and_of_their_size(name: str, tmp_path: Path) -> None:
    shape = smaller(SHAPES[name], 300)
    path = tmp_path / "input.jsonl"
    shape.write(path)
    with path.open("rb") as stream:
        found = list(InputRules().walk(read_blocks(stream)))
    requests = [request for lines in found for request in lines.requests()]
    assert [request.custom_id for request in requests] == [
        f"request-{n}" for n in range(shape.lines)
    ]
    for lines in found:
        assert all(0.9 * shape.size < len(content) < shape.size for content in lines.contents)


def test_an_input_of_50_000_long_lines_fits_one_batch() -> None:
    shape = SHAPES["long"]
    assert shape.lines * shape.size < 200_000_000


def test_a_figure_is_made_within_one_round() -> None:
    one, two, three = (Program("short", (name,)) for name in "abc")
    costs = {
        one: Cost(6.0, 4.0, 50.0, {"up": 3.0}),
        two: Cost(2.0, 1.0, 20.0, {}),
        three: Cost(1.0, 0.5, 10.0, {}),
    }

    def figure(take, *programs: Program) -> float:
        return Row("k", "what", programs, take, "x").figure(costs)

    assert figure(wall, one, two) == 3.0
    assert figure(cpu_of_lines, one, two, three) == 6.0
    assert figure(memory, one, two) == 30.0
    assert figure(seconds_beyond, one, two) == 4.0
    assert figure(fact("up"), one) == 3.0
    assert figure(fact("up", of="wall"), one, two) == 1.5
    assert figure(fact("wall", times=1000), two) == 2000.0


def test_a_rate_must_be_at_least_its_target_and_all_else_at_most() -> None:
    row = Row("k", "what", (BARE,), wall, "x", 2.0)
    assert row.is_met(2.0)
    assert not row.is_met(2.1)
    assert row._replace(unit="/s").is_met(2.1)
    assert row._replace(unit="/s").is_met(1.9) is False
    assert row._replace(target=None).is_met(1.0) is None


def test_a_cost_is_that_of_the_process_or_of_the_part_that_it_names(tmp_path: Path) -> None:
    hungry = "x = bytearray(40_000_000); x[::4096] = bytes(len(x[::4096])); print('{}')"
    cost = cost_of([sys.executable, "-c", hungry], tmp_path)
    assert cost.peak > 40
    assert 0 < cost.cpu <= cost.wall + 0.1
    bare = cost_of([sys.executable, "-c", "pass"], tmp_path)
    assert 1 < bare.peak < 30  # not that of this process, which started it
    told = 'print(\'talk\'); print(\'{"facts": {"wall": 7.0, "rate": 3.0}}\')'
    cost = cost_of([sys.executable, "-c", told], tmp_path)
    assert (cost.wall, cost.facts) == (7.0, {"rate": 3.0})


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"exited with 1\n(.|\n)*no such thing"):
        cost_of([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)
    assert cost_of([sys.executable, "-c", "raise SystemExit(2)"], tmp_path, (0, 2)).cpu > 0


def test_programs_take_turns_and_run_once_a_round(tmp_path: Path, monkeypatch) -> None:
    ran: list[str] = []

    def cost(command, folder, endings, environment) -> Cost:
        ran.append(command[-1])
        return Cost(float(len(ran)), 1.0, 1.0, {})

    monkeypatch.setattr("bench.bench.cost_of", cost)
    first, second = Program("thousand", ("first",)), Program("thousand", ("second",))
    rows = [
        Row("a", "a", (first, second), wall, "x"),
        Row("b", "b", (second, first), seconds_beyond, "s"),
    ]
    ((a, b),) = Bench(rows, tmp_path, quick=True, tell=lambda _: None).run(3)
    assert ran == ["first", "second"] * 3
    assert a.figures == (1 / 2, 3 / 4, 5 / 6)
    assert (a.figure, b.figure) == (3 / 4, 1.0)


def test_two_versions_take_turns_and_share_a_floor(tmp_path: Path, monkeypatch) -> None:
    ran: list[str] = []

    def cost(command, folder, endings, environment) -> Cost:
        ran.append(f"{command[-1]} {Path(environment['PYTHONPATH']).name}")
        return Cost(
            {"new": 1.0, "old": 2.0}[folder.name] if command[-1] == "own" else 4.0, 0, 0, {}
        )

    monkeypatch.setattr("bench.bench.cost_of", cost)
    own, floor = Program("thousand", ("own",)), Program("thousand", ("floor",), is_floor=True)
    versions = [Version("new", Path("new")), Version("old", Path("old"))]
    rows = [Row("a", "a", (own, floor), wall, "x")]
    measuring = Bench(rows, tmp_path, quick=True, tell=lambda _: None, versions=versions)
    here, there = measuring.run(2)
    assert ran == ["own new", "own old", "floor new", "own old", "own new", "floor new"]
    assert (here[0].figures, there[0].figures) == ((0.25, 0.25), (0.5, 0.5))
    assert list(comparison(there, here))[2:] == [
        "| a | 1,000 of 400 B | 0.500x | 0.250x | 0.500 | 0.500 to 0.500 |"
    ]


def test_the_table_says_figure_range_target_and_what_it_was_before() -> None:
    row = Row("validate", "validate", (ours("short", "x"),), wall, "x", 1.5, "one pass")
    results = [
        Result(row, "50,000 of 400 B", (2.0, 1.0, 9.0)),
        Result(row, "1,000,000 of 400 B", (4.0, 4.0, 4.0)),
    ]
    now = entry(results, rounds=3, quick=False)
    before = {**now, "rows": [{**now["rows"][0], "figure": 30.0}]}
    table = list(markdown(now, before))
    assert table[2:5] == [
        "| validate | 50,000 of 400 B | 2.00x | 1.00 to 9.00 | one pass | 1.50x | no | 30.0x |",
        "| validate | 1,000,000 of 400 B | 4.00x | 4.00 to 4.00 | one pass | 1.50x | no |  |",
        "",
    ]
    assert table[5].startswith("batchsim ")
    assert json.loads(json.dumps(now)) == now
    assert [number(each) for each in (1234.5, 0.0123, 7.0)] == ["1,234", "0.0123", "7.00"]


def test_below_stand_the_parts_of_a_line_their_sums_and_what_was_missed_by_how_much() -> None:
    """With each part at a fixed cost: 1x in the first input, 2x in the second."""
    inputs = {"short": ("50,000 of 400 B", 2.0), "long": ("50,000 of 4 KB", 5.0)}
    results = []
    for times, (shape, (name, pass_us)) in enumerate(inputs.items(), start=1):
        facts = {FLOOR: pass_us, **{part.name: times * pass_us for part in PARTS}}
        costs = {ours(shape, "parts"): Cost(1.0, 1.0, 1.0, facts)}
        rows = [row for row in ROWS if row.key == "parts" and row.shape == shape]
        results += [Result(row, name, (row.figure(costs),)) for row in rows]
    validate = next(row for row in ROWS if row.key == "validate" and row.shape == "short")
    results.append(Result(validate, "50,000 of 400 B", (1.5,)))
    table = list(markdown(entry(results, rounds=1, quick=False), None))
    assert table[2] == (
        "| validate, CPU | 50,000 of 400 B | 1.50x | 1.50 to 1.50 | one orjson pass | 1.25x | no |"
    )
    head = table.index(
        "| part | 50,000 of 400 B | 50,000 of 4 KB | validate | the fake | run --fake |"
    )
    assert (
        table[head + 2] == "| split the file into lines | 1.00x | 2.00x | once | once | 2 times |"
    )
    assert table[head + 2 + len(PARTS) :][:8] == [
        "| **validate, the sum** | 4.00x | 8.00x | sum |  |  |",
        "| **the fake, the sum** | 7.00x | 14.00x |  | sum |  |",
        "| **run --fake, the sum** | 16.00x | 32.00x |  |  | sum |",
        "",
        "- one orjson pass, 50,000 of 400 B: 2.00 us of CPU a line; where the targets were set, 2.4 us",
        "- one orjson pass, 50,000 of 4 KB: 5.00 us of CPU a line; where the targets were set, 7.0 us",
        "- validate, CPU, 50,000 of 400 B: 3.0 us a line; the target of 1.25x was 3.0 us where it was set",
        table[-2],
    ]


def test_the_slope_is_what_a_line_costs_of_few_and_of_many(tmp_path: Path, monkeypatch) -> None:
    seconds = {"no": 0.0, "one": 0.5, "short": 1.0, "million": 13.0}

    def cost(command, folder, endings, environment) -> Cost:
        name = next(each for each in command if each.endswith(".jsonl"))
        cpu = seconds[Path(name).stem]
        return Cost(1.0, cpu, 1.0, {}, system=0.2 * cpu if cpu > 1 else 0.0)

    monkeypatch.setattr("bench.bench.cost_of", cost)
    monkeypatch.setattr("bench.bench.Bench._prepare", lambda *_: None)
    rows, _ = chosen(ROWS, ("slope",), large=True, huge=False)
    (results,) = Bench(rows, tmp_path, quick=False, tell=lambda _: None).run(1)
    table = list(markdown(entry(results, rounds=1, quick=False), None))
    assert table[4:10] == [
        "CPU of a line by the number of lines; its ratio is 1 where cost is linear:",
        "",
        "| | 50,000 of 400 B | 1,000,000 of 400 B | ratio |",
        "| --- | --- | --- | --- |",
        "| validate | 10.00 us | 12.50 us | 1.25 |",
        "| validate, without the system's share | 10.00 us | 9.90 us | 0.99 |",
    ]


def test_each_part_of_a_line_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    SHAPES["thousand"].write(path)
    facts = parts(str(path))
    assert set(facts) == {FLOOR, *(part.name for part in PARTS)}
    assert min(facts.values()) >= 0
    assert [each.name for each in tmp_path.iterdir()] == ["input.jsonl"]


def test_a_history_gives_the_last_run_of_the_same_kind(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    quick = entry([], rounds=1, quick=True)
    whole = entry([], rounds=5, quick=False)
    assert last_in(history, quick) is None
    for each in (quick, whole, {**quick, "rounds": 2}, {**whole, "system": "another machine"}):
        append_to(history, each)
    assert last_in(history, quick)["rounds"] == 2
    assert last_in(history, whole)["rounds"] == 5
    with history.open("a") as stream:
        stream.write("[]\n")
    with pytest.raises(ValueError, match="no run of the benchmark"):
        last_in(history, quick)


def test_rows_are_chosen_by_key_size_and_what_is_installed(monkeypatch) -> None:
    usual, notes = chosen(ROWS, (), large=False, huge=False)
    assert {row.key for row in usual} == set(KEYS)
    assert not notes
    assert {"million", "ten-million"}.isdisjoint(row.shape for row in usual)
    large, _ = chosen(ROWS, ("run",), large=True, huge=False)
    assert {row.shape for row in large} == {"short", "long", "japanese", "million"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    without, notes = chosen(ROWS, (), large=False, huge=False)
    assert not any(row.needs for row in without)
    assert notes[0] == "httptools is not installed: rows that need it are left out"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("fake", "thousand"),
        ("copy", "thousand"),
        ("restore", "thousand"),
        ("job_through_client", "thousand"),
        ("client", "thousand", "fake"),
        ("client", "thousand", "fixed"),
        ("start", "one", "serve"),
        ("round_trip", "thousand", "serve"),
        ("round_trip", "thousand", "fixed"),
        ("transfer", "thousand", "serve"),
        ("polls", "one", "serve", "0.2"),
        ("parts", "thousand"),
        ("polls", "one", "fixed", "0.2"),
    ],
    ids="-".join,
)
def test_every_program_does_its_work(arguments: tuple[str, ...], tmp_path: Path) -> None:
    name, shape, *more = arguments
    path = tmp_path / "input.jsonl"
    SHAPES[shape].write(path)
    command = ours(shape, name, *more).command(str(path))
    cost = cost_of(command, tmp_path)
    assert min([cost.wall, *cost.facts.values()]) >= 0


@pytest.mark.slow
def test_the_memory_of_restoring_is_not_that_of_the_job_before_it(tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    SHAPES["thousand"].write(path)
    command = ours("thousand", "restore").command(str(path))
    with_job, alone = cost_of(command, tmp_path), cost_of(command, tmp_path)
    assert with_job.peak == pytest.approx(alone.peak, rel=0.08)
