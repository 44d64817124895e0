"""Scenarios and plans of faults, from the command line."""

import json

import pytest

from batchsim.backends.fake import SCENARIOS


def test_the_list_names_every_scenario_and_says_what_it_is(batchsim):
    outcome = batchsim("scenarios")
    assert [line.split()[0] for line in outcome.stdout.splitlines()] == list(SCENARIOS)
    assert all(each.description in outcome.stdout for each in SCENARIOS.values())


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_the_commands_that_take_one_list_them_too(batchsim, command):
    assert batchsim(command, "--scenario", "list").stdout == batchsim("scenarios").stdout


def test_the_faults_of_a_plan_are_listed(batchsim):
    stdout = batchsim("scenarios", "--faults").stdout
    assert "\nreply_lost" in stdout
    assert "\nforeign" in stdout
    assert "[[batches]]" in stdout


@pytest.mark.parametrize(
    ("scenario", "code", "words"),
    [
        ("all_failed", 1, "request-2: failed: "),
        ("failed_validation", 1, "Failed: invalid_json_line: This line is not parseable"),
        ("expired_partial", 1, "finalizing at 86400 s"),
        ("stuck_finalizing", 1, "It is still finalizing, and nobody waits longer than that."),
        ("some_failed,slow", 1, "6. The cost"),
        ("input_order", 0, "6. The cost"),
    ],
)
def test_the_demo_in_a_scenario(batchsim, scenario, code, words):
    outcome = batchsim("demo", "--scenario", scenario)
    assert (outcome.code, words in outcome.stdout) == (code, True), outcome.stdout[-2_000:]
    assert outcome.stdout.count("\n") < 200


def test_the_demo_with_a_plan(batchsim, desk):
    (desk / "plan.toml").write_text('[[lines]]\nfault = "error"\nline = 1\nstatus = 404\n')
    outcome = batchsim("demo", "--faults", "plan.toml")
    assert outcome.code == 1
    assert "request-1: failed" in outcome.stdout


@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "sunshine"], ["there is no scenario called 'sunshine'", "choose one of"]),
        (["--scenario", "slow,"], ["there is no scenario called ''"]),
        (["--faults", "none.toml"], ["none.toml: cannot be read: No such file or directory"]),
        (["--faults", "plan.toml"], ["plan.toml: 'requests[0].nth' must be a whole number"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_happens(batchsim, desk, command, arguments, words):
    (desk / "plan.toml").write_text('[[requests]]\nfault = "reset"\nnth = "1"\n')
    outcome = batchsim(command, *arguments)
    assert outcome.code == 2
    assert all(each in outcome.stderr for each in words)
    assert "Traceback" not in outcome.stderr


def test_neither_is_for_the_real_service(batchsim):
    outcome = batchsim("demo", "--real", "--scenario", "slow")
    assert (outcome.code, "not for --real" in outcome.stderr) == (2, True)


def test_scenarios_and_faults_are_told_as_objects(batchsim):
    told = [json.loads(line) for line in batchsim("scenarios", "--json").stdout.splitlines()]
    assert [each["scenario"] for each in told] == list(SCENARIOS)
    faults = batchsim("scenarios", "--faults", "--json").stdout.splitlines()
    told = [json.loads(line) for line in faults]
    assert {"table": "lines", "fault": "missing"}.items() <= next(
        each for each in told if each["fault"] == "missing"
    ).items()
    assert "call" not in told[0]["has"]
    assert "status" in told[0]["has"]
