"""`batchsim run` on every bad input: all of it in order, or nothing at all."""

import json
from pathlib import Path

from click.testing import CliRunner

from batchsim.cli.commands.run import run
from batchsim.errors import InputError


def test_run_takes_an_input_whole_or_not_at_all(case, tmp_path: Path):
    source, results = tmp_path / "input.jsonl", tmp_path / "results.jsonl"
    source.write_bytes(case.content)
    arguments = ["--fake", str(source), "-o", str(results)]
    ran = CliRunner().invoke(run, arguments, standalone_mode=False)
    if case.is_run:
        assert ran.exception is None
        assert _custom_ids(results) == _custom_ids(source)
        return
    assert isinstance(ran.exception, InputError)
    assert ran.exception.path == source
    assert ran.exception.hint
    code, line = case.errors[0]
    if code != "not_jsonl":
        assert (ran.exception.line, ran.exception.message.partition(":")[0]) == (line, code)
    assert not results.exists()
    assert ran.stdout == ""


def _custom_ids(path: Path) -> list[str]:
    with path.open("rb") as stream:
        return [json.loads(line)["custom_id"] for line in stream if line.strip()]
