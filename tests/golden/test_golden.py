"""Same seed, same bytes: everything that a client can see in every scenario has one digest.

A change of it is a change for everybody's recorded runs. Renew it on purpose only:
`python tests/golden/run.py`. Other Pythons are compared by `make pythons`.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

HERE = Path(__file__).parent


def program(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_golden_run_has_the_digest_that_is_written_down():
    assert program("run").digest() == (HERE / "digest.txt").read_text("ascii").strip()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-O",),
        pytest.param(("-OO", "-W", "error", "-X", "dev"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_another_process_has_it_too(options):
    """Row 122: also without assertions and docstrings, and where a warning is an error."""
    told = subprocess.run(
        [sys.executable, *options, HERE / "run.py"], capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[0] == (HERE / "digest.txt").read_text("ascii").strip()


def test_another_seed_has_another_history():
    run = program("run")
    assert run.history("completed", 1) == run.history("completed", 1)
    assert run.history("completed", 1) != run.history("completed", 2)


SAME = (HERE / "digest.txt").read_text("ascii").strip()
LACKING = "there is no npm"


@pytest.fixture
def comparison(monkeypatch, capsys):
    """`comparison(digests, wasm)` -> the exit code and what is printed, without running any."""
    pythons = program("pythons")
    fetches = []

    def on_wasm(*, may_fetch_node):
        fetches.append(may_fetch_node)
        if wasm == LACKING:
            raise pythons.NotHad(LACKING)
        return "Python 3.14.2 (WebAssembly)", wasm

    def compare(digests, on):
        nonlocal wasm
        wasm = on
        found = {(3, 11 + place): str(place) for place in range(len(digests))}
        monkeypatch.setattr(pythons, "interpreters", lambda: found)
        monkeypatch.setattr(pythons, "digest_on", lambda version, path: digests[int(path)])
        monkeypatch.setattr(pythons, "digest_on_wasm", on_wasm)
        return pythons.main(), capsys.readouterr().out, fetches[-1]

    wasm = LACKING
    return compare


@pytest.mark.parametrize(
    ("digests", "wasm", "code"),
    [
        ([SAME, SAME], SAME, 0),
        ([SAME, "other"], SAME, 1),
        ([SAME, SAME], "other", 1),
        ([SAME], SAME, 0),
        (["other"], LACKING, 1),
    ],
)
def test_the_comparison_of_pythons(comparison, digests, wasm, code):
    ended, printed, _ = comparison(digests, wasm)
    assert ended == code
    assert printed.count("the same bytes") == [*digests, wasm].count(SAME)
    assert ("DIFFERS: other" in printed) == ("other" in [*digests, wasm])


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_single_python_is_said_with_its_reason_and_fails_where_all_must_run(
    comparison, monkeypatch, ci, code
):
    monkeypatch.setenv("CI", ci)
    ended, printed, fetched = comparison([SAME], LACKING)
    assert ended == code
    assert LACKING in printed
    assert "the only Python" in printed
    assert fetched


def test_where_there_are_two_pythons_no_node_is_fetched(comparison):
    ended, printed, fetched = comparison([SAME, SAME], LACKING)
    assert ended == 0
    assert LACKING in printed
    assert "the only Python" not in printed
    assert not fetched


def test_the_stand_in_for_orjson_writes_what_orjson_does():
    spec = importlib.util.spec_from_file_location("stand_in", HERE / "wasm" / "orjson.py")
    stand_in = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    value = {"b": [1, 2.5, 1e300, '日本 🙂 \\ "', None, True], "a": {"c": {}, "": []}}
    for names in ((), ("OPT_INDENT_2",), ("OPT_SORT_KEYS", "OPT_APPEND_NEWLINE")):
        option = sum(getattr(orjson, name) for name in names)
        ours = sum(getattr(stand_in, name) for name in names)
        assert stand_in.dumps(value, option=ours) == orjson.dumps(value, option=option)
    assert stand_in.loads(orjson.dumps(value)) == value
