"""`batchsim validate` on every bad input: each error once, in order, with a cause and a hint."""

import json

from click.testing import CliRunner

from batchsim.cli.commands.validate import validate


def test_validate_says_what_is_wrong(case):
    arguments = ["--all", "--json", "-"]
    found = CliRunner().invoke(validate, arguments, input=case.content, standalone_mode=False)
    assert found.exception is None
    assert found.return_value == (2 if case.errors else 0)
    findings = [json.loads(line) for line in found.stdout.splitlines()]
    errors = [each for each in findings if each["severity"] == "error"]
    assert tuple((each["code"], each["line"]) for each in errors) == case.errors
    assert all(each["hint"] for each in errors)


def test_validate_tells_a_person(case):
    found = CliRunner().invoke(validate, ["-"], input=case.content, standalone_mode=False)
    assert found.exception is None
    assert case.says in found.stdout
    assert found.stdout.replace("\n", "").isprintable()
    assert len(found.stdout) < 3_000
