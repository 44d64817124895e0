"""Same seed, same bytes: everything that a client can see in every scenario has one digest.

A change of it is a change for everybody's recorded runs. Renew it on purpose only:
`python tests/golden/run.py`. Other Pythons are compared by `make pythons`.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def program(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_golden_run_has_the_digest_that_is_written_down():
    assert program("run").digest() == (HERE / "digest.txt").read_text("ascii").strip()


def test_another_process_has_it_too():
    told = subprocess.run(
        [sys.executable, HERE / "run.py"], capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[0] == (HERE / "digest.txt").read_text("ascii").strip()


def test_another_seed_has_another_history():
    run = program("run")
    assert run.history("completed", 1) == run.history("completed", 1)
    assert run.history("completed", 1) != run.history("completed", 2)


@pytest.mark.parametrize(("answers", "code"), [(["a", "a"], 0), (["a", "b"], 1), (["a"], 0)])
def test_the_comparison_of_pythons(monkeypatch, capsys, answers, code):
    pythons = program("pythons")
    found = {(3, 11 + place): str(place) for place in range(len(answers))}
    digest = (HERE / "digest.txt").read_text("ascii").strip()
    monkeypatch.setattr(pythons, "interpreters", lambda: found)
    monkeypatch.setattr(
        pythons, "digest_on", lambda version, path: digest if answers[int(path)] == "a" else "other"
    )
    assert pythons.main() == code
    printed = capsys.readouterr().out
    assert printed.count("the same bytes") == answers.count("a")
    assert ("DIFFERS: other" in printed) == (code == 1)
    assert ("single Python" in printed) == (len(answers) == 1)
