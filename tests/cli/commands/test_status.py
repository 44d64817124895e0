import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.cli.jobs.job import Job
from batchsim.cli.terminal.state_folder import state_folder
from batchsim.errors import Unavailable
from tests.repository import DEMO_INPUT

KEYS = {
    "job", "state", "service", "run", "input", "results", "command", "begun_at", "updated_at",
    "finished_at", "lines", "done", "failed", "outcomes", "rounds", "shards", "batches", "usage",
    "spent_usd", "reserved_usd", "seconds_left", "unfound",
}  # fmt: skip
SHARD_KEYS = {
    "shard", "batch_id", "endpoint", "model", "stage", "status", "lines", "done", "failed",
    "created_at", "expires_at", "seconds_left",
}  # fmt: skip


@pytest.fixture
def finished_job(batchsim) -> None:
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0


@pytest.fixture
def stopped_job(batchsim, monkeypatch) -> None:
    """A job that was interrupted before its results were downloaded."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "read_file", interrupted)
        assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 130


def facts_shown(stdout: str) -> dict[str, str]:
    lines = stdout.split("\n\n", maxsplit=1)[0].splitlines()
    return {line[:9].strip(): line[11:] for line in lines}


def test_a_finished_job_is_told_in_words(batchsim, desk, finished_job) -> None:
    outcome = batchsim("status", "results.jsonl")
    told = facts_shown(outcome.stdout)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert told["state"] == "finished"
    assert told["service"] == "the simulator"
    assert told["lines"] == "3 of 3 done, 0 failed"
    assert told["outcomes"] == "3 ok"
    assert told["batches"] == "1 completed"
    assert told["money"].endswith(" spent")
    assert (told["job"], told["results"]) == ("results.jsonl.job", "results.jsonl")
    assert len(outcome.stdout.split("\n\n")[1].splitlines()) == 2


def test_a_stopped_job_says_what_goes_on_with_it(batchsim, stopped_job) -> None:
    outcome = batchsim("status", "results.jsonl")
    assert outcome.code == 0
    assert facts_shown(outcome.stdout)["state"] == "stopped"
    command = f"batchsim run --fake {DEMO_INPUT} -o results.jsonl"
    assert f"hint: `{command}` goes on with it" in outcome.stderr


def test_the_command_is_told_with_its_folder_when_that_is_another(
    batchsim, desk, stopped_job, monkeypatch
) -> None:
    (desk / "sub").mkdir()
    monkeypatch.chdir(desk / "sub")
    outcome = batchsim("status", "../results.jsonl")
    assert f"`cd {desk} && batchsim run" in outcome.stderr
    assert facts_shown(outcome.stdout)["job"] == "../results.jsonl.job"


@pytest.mark.parametrize("name", ["results.jsonl", "results.jsonl.job", "./results.jsonl.job/"])
def test_a_job_is_named_by_its_results_or_its_directory(batchsim, finished_job, name) -> None:
    assert facts_shown(batchsim("status", name).stdout)["state"] == "finished"


def test_a_job_elsewhere_is_found_by_its_results_or_its_input(batchsim, desk) -> None:
    shutil.copy(DEMO_INPUT, desk / "input.jsonl")
    options = ("-o", "results.jsonl", "--job", "elsewhere")
    assert batchsim("run", "--fake", "input.jsonl", *options).code == 0
    for name in ("results.jsonl", "input.jsonl"):
        assert facts_shown(batchsim("status", name).stdout)["job"] == "elsewhere"


def test_a_name_that_stands_for_two_jobs_is_refused(batchsim, desk) -> None:
    shutil.copy(DEMO_INPUT, desk / "input.jsonl")
    for number in "12":
        batchsim("run", "--fake", "input.jsonl", "-o", f"{number}.jsonl", "--job", number)
    outcome = batchsim("status", "input.jsonl")
    assert outcome.code == 2
    assert "several jobs belong to input.jsonl" in outcome.stderr


def test_without_a_name_the_latest_job_is_told(batchsim, desk, finished_job) -> None:
    assert facts_shown(batchsim("status").stdout)["job"] == "results.jsonl.job"


@pytest.mark.parametrize("name", [None, "nothing.jsonl", "", "a\0b", "x" * 300, "input.jsonl"])
def test_a_job_that_is_not_there_is_told(batchsim, desk, name) -> None:
    (desk / "input.jsonl").write_text("{}")
    outcome = batchsim("status", *([] if name is None else [name]))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "hint: name" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_the_json_of_a_job_has_its_documented_keys(batchsim, desk, state, request) -> None:
    request.getfixturevalue(f"{state}_job")
    value = json.loads(batchsim("status", "results.jsonl", "--json").stdout)
    assert set(value) == KEYS | {"by_shard"}
    assert set(value["by_shard"][0]) == SHARD_KEYS
    assert value["state"] == state
    assert value["command"] == f"batchsim run --fake {DEMO_INPUT} -o results.jsonl"
    assert value["results"] == str(desk / "results.jsonl")
    assert (value["outcomes"] or {}).get("ok") == (3 if state == "finished" else None)
    assert (value["finished_at"] is None) is (state == "stopped")
    assert value["spent_usd"] > 0
    assert set(value["usage"]) >= {"input_tokens", "output_tokens", "total_tokens"}


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_name_that_is_no_text_comes_back_from_the_json(batchsim, desk) -> None:
    name = os.fsdecode(b"r\xe9sultats.jsonl")
    ran = batchsim("run", "--fake", str(DEMO_INPUT), "-o", name, "--json")
    told = [ran, batchsim("status", name, "--json"), batchsim("jobs", "--json")]
    assert [each.code for each in told] == [0, 0, 0]
    for each in told:
        value = json.loads(each.stdout)
        assert Path(value.get("results", value["job"])).name.removesuffix(".job") == name


def test_run_prints_the_same_object_when_asked(batchsim, desk) -> None:
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl", "--json")
    value = json.loads(outcome.stdout)
    assert set(value) == KEYS
    assert (value["state"], value["outcomes"]["ok"]) == ("finished", 3)
    refused = batchsim("run", "--fake", str(DEMO_INPUT), "--json")
    assert refused.code == 2
    assert "name a file for the results" in refused.stderr


def test_an_interrupted_run_prints_where_it_stands(batchsim, desk, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeBackend, "read_file", interrupted)
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl", "--json")
    assert outcome.code == 130
    assert json.loads(outcome.stdout)["state"] == "stopped"


def test_looking_needs_no_lock_and_changes_nothing(batchsim, desk, stopped_job) -> None:
    from batchsim.runner.job import JobDirectory

    job = desk / "results.jsonl.job"
    before = (job / "journal.db").read_bytes()
    with JobDirectory(job).locked():
        told = facts_shown(batchsim("status", "results.jsonl").stdout)
        listed = batchsim("jobs", "--json")
    assert told["state"] == f"running: process {os.getpid()} on {socket.gethostname()} is at work"
    assert json.loads(listed.stdout)["state"] == "running"
    assert (job / "journal.db").read_bytes() == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_job_that_may_not_be_written_can_be_looked_at(batchsim, desk, finished_job) -> None:
    job = desk / "results.jsonl.job"
    job.chmod(0o500)
    try:
        assert facts_shown(batchsim("status", "results.jsonl").stdout)["state"] == "finished"
    finally:
        job.chmod(0o700)


def test_a_runner_that_was_killed_is_not_at_work(batchsim, desk, stopped_job) -> None:
    holder = desk / "results.jsonl.job" / "holder.json"
    host = socket.gethostname()
    holder.write_text(json.dumps({"pid": 2**22 + 1, "host": host}))
    assert facts_shown(batchsim("status", "results.jsonl").stdout)["state"] == "stopped"
    holder.write_text(json.dumps({"pid": 1, "host": "another-machine"}))
    assert "process 1 on another-machine" in batchsim("status", "results.jsonl").stdout
    holder.write_text("junk")
    assert facts_shown(batchsim("status", "results.jsonl").stdout)["state"] == "stopped"


def test_a_job_that_may_not_be_read_is_not_called_missing(
    batchsim, desk, finished_job, monkeypatch
) -> None:
    monkeypatch.setattr(Job, "exists", False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    outcome = batchsim("status", "results.jsonl")
    assert outcome.code == 2
    assert outcome.stderr == (
        "error: the directory results.jsonl.job may not be read\n"
        "hint: give yourself permission to read it\n"
    )


def test_the_counts_that_the_runner_noted_are_shown(batchsim, desk, monkeypatch) -> None:
    """The journal holds no counts of batches under way; the runner leaves them beside it."""
    looks = []

    def looked_at_thrice(self, batch_id, *, ask=FakeBackend.retrieve_batch):
        looks.append(batch_id)
        batch = ask(self, batch_id)
        if batch.request_counts.completed:
            raise KeyboardInterrupt
        return batch

    shutil.copy(DEMO_INPUT, desk / "input.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "retrieve_batch", looked_at_thrice)
        batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    from batchsim.domain.batches import RequestCounts

    Job(desk / "results.jsonl.job").write_counts({looks[0]: RequestCounts(3, 1, 1)})
    assert facts_shown(batchsim("status").stdout)["lines"] == "2 of 3 done, 1 failed"


def test_counts_noted_before_a_batch_ended_are_no_longer_told(batchsim, desk, stopped_job) -> None:
    """The runner notes them once a second, so that they may be older than the journal."""
    from batchsim.domain.batches import RequestCounts

    (shard,) = json.loads(batchsim("status", "--json").stdout)["by_shard"]
    Job(desk / "results.jsonl.job").write_counts({shard["batch_id"]: RequestCounts(3, 1, 0)})
    assert facts_shown(batchsim("status").stdout)["lines"] == "3 of 3 done, 0 failed"


def test_a_damaged_journal_is_told(batchsim, desk, finished_job) -> None:
    journal = desk / "results.jsonl.job" / "journal.db"
    for content in (b"", b"no database" * 1_000, journal.read_bytes()[:5_000]):
        journal.write_bytes(content)
        outcome = batchsim("status", "results.jsonl")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "error: " in outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_notes_that_are_junk_are_passed_over(batchsim, desk, finished_job) -> None:
    for name in ("command.json", "counts.json", "holder.json"):
        for junk in ("[]", "null", '{"arguments": 3}', "\xff", '{"pid": []}', '{"x": [1]}'):
            (desk / "results.jsonl.job" / name).write_text(junk, "latin-1")
            assert batchsim("status", "results.jsonl").code == 0


def test_many_shards_are_summed_up_unless_all_are_asked_for(batchsim, desk) -> None:
    line = {"method": "POST", "url": "/v1/chat/completions"}
    models = [f"ft:gpt-4o-mini:org::{number}" for number in range(25)]
    with (desk / "input.jsonl").open("w") as stream:
        for model in models:
            body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
            stream.write(json.dumps({"custom_id": model, **line, "body": body}) + "\n")
    batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    short = batchsim("status").stdout
    assert "and 5 more: 5 completed; --all shows them" in short
    assert len(batchsim("status", "--all").stdout.splitlines()) == len(short.splitlines()) + 4


def test_the_jobs_are_listed_the_latest_first(batchsim, desk, finished_job) -> None:
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "second.jsonl").code == 0
    outcome = batchsim("jobs")
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert rows[0][:5] == ["STATE", "LINES", "DONE", "FAILED", "BATCHES"]
    assert [row[-1] for row in rows[1:]] == [
        "second.jsonl.job",
        "results.jsonl.job",
    ]
    assert rows[1][:5] == ["finished", "3", "3", "0", "1"]


def test_the_json_of_the_list_is_one_object_per_job(batchsim, finished_job) -> None:
    value = json.loads(batchsim("jobs", "--json").stdout)
    assert set(value) == KEYS | {"continued_at"}


def test_jobs_that_are_gone_or_damaged_are_told_and_gone_ones_forgotten(
    batchsim, desk, finished_job
) -> None:
    batchsim("run", "--fake", str(DEMO_INPUT), "-o", "second.jsonl")
    shutil.rmtree(desk / "results.jsonl.job")
    (desk / "second.jsonl.job" / "journal.db").write_bytes(b"junk")
    outcome = batchsim("jobs")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.stdout.splitlines()[1:]] == ["unreadable", "gone"]
    assert "--forget" in outcome.stderr
    assert "journal.db" in outcome.stderr
    assert len(batchsim("jobs", "--forget", "--json").stdout.splitlines()) == 1
    assert [line.split()[0] for line in batchsim("jobs").stdout.splitlines()[1:]] == ["unreadable"]


def test_an_index_that_cannot_be_written_or_read_stops_nothing(batchsim, desk, monkeypatch) -> None:
    (desk / "state").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "state"))
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0
    assert batchsim("jobs").code == 0
    assert batchsim("status", "results.jsonl").code == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "other"))
    folder = state_folder() / "jobs"
    folder.mkdir(parents=True)
    for number, junk in enumerate(["", "[]", '{"job": 1, "at": 2}', '{"job": "x", "at": "y"}']):
        (folder / f"{number}.json").write_text(junk)
    assert len(batchsim("jobs").stdout.splitlines()) == 1


def test_state_is_kept_at_home_unless_told_otherwise(monkeypatch, desk) -> None:
    monkeypatch.setenv("HOME", str(desk))
    for value in ("", "relative/path"):  # the specification has relative ones ignored
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert state_folder() == desk / ".local" / "state" / "batchsim"


def test_results_are_given_again(batchsim, desk, finished_job) -> None:
    whole = (desk / "results.jsonl").read_text("utf-8")
    outcome = batchsim("results", "results.jsonl")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, whole, "")
    assert batchsim("results", "results.jsonl", "-o", "copy.jsonl").code == 0
    assert (desk / "copy.jsonl").read_text("utf-8") == whole


@pytest.mark.parametrize("loss", ["gone", "cut short"])
def test_results_that_were_lost_are_put_together_again(batchsim, desk, finished_job, loss) -> None:
    path = desk / "results.jsonl"
    whole = path.read_text("utf-8")
    if loss == "gone":
        path.unlink()
    else:
        path.write_text(whole[:-1], "utf-8")
    assert batchsim("results", "results.jsonl").stdout == whole


def test_only_the_failed_lines(batchsim, desk) -> None:
    lines = DEMO_INPUT.read_text("utf-8").splitlines()
    bad = lines[1].replace('"model"', '"temperature": 999, "model"')
    (desk / "input.jsonl").write_text("\n".join([lines[0], bad, lines[2]]), "utf-8")
    batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    outcome = batchsim("results", "results.jsonl", "--failed")
    assert outcome.code == 1
    assert [json.loads(line)["custom_id"] for line in outcome.stdout.splitlines()] == ["request-2"]


def test_results_of_an_unfinished_job_are_not_there_yet(batchsim, stopped_job) -> None:
    outcome = batchsim("results", "results.jsonl")
    assert (outcome.code, outcome.stdout) == (75, "")
    assert "the job is not finished: 3 of 3 lines are done" in outcome.stderr
    assert "goes on with it" in outcome.stderr
    value = json.loads(batchsim("results", "results.jsonl", "--json").stdout)
    assert value["state"] == "stopped"


def test_results_do_not_overwrite_unless_told(batchsim, desk, finished_job) -> None:
    (desk / "copy.jsonl").write_text("mine")
    outcome = batchsim("results", "results.jsonl", "-o", "copy.jsonl")
    assert outcome.code == 2
    assert (desk / "copy.jsonl").read_text() == "mine"
    assert batchsim("results", "results.jsonl", "-o", "copy.jsonl", "--force").code == 0


def test_of_an_unfinished_job_what_has_been_collected_is_given(batchsim, desk, monkeypatch) -> None:
    lines = DEMO_INPUT.read_text("utf-8").splitlines()
    other = lines[1].replace("gpt-3.5-turbo", "gpt-4o-mini")
    (desk / "input.jsonl").write_text("\n".join([lines[0], other, lines[2]]), "utf-8")
    read, first = FakeBackend.read_file, []

    def only_one(self, file_id):
        if first and file_id not in first:
            raise Unavailable("gone")
        first.append(file_id)
        return read(self, file_id)

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "read_file", only_one)
        assert batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl").code == 75
    outcome = batchsim("results", "results.jsonl", "--partial")
    assert outcome.code == 75
    given = [json.loads(line)["custom_id"] for line in outcome.stdout.splitlines()]
    assert given == ["request-1", "request-3"]


def test_what_a_batch_under_way_may_cost_is_reserved(batchsim, desk, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    bound = DEMO_INPUT.read_text("utf-8").replace('"model"', '"max_tokens": 50, "model"')
    (desk / "input.jsonl").write_text(bound, "utf-8")
    command = ("run", "--fake", "input.jsonl", "-o", "results.jsonl", "--max-cost", "1")
    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "retrieve_batch", interrupted)
        assert batchsim(*command).code == 130
    told = facts_shown(batchsim("status", "results.jsonl").stdout)["money"]
    assert told.startswith("$0 spent, at most $0.00")
    value = json.loads(batchsim("status", "results.jsonl", "--json").stdout)
    assert 0 < value["reserved_usd"] < 1
    assert batchsim(*command).code == 0
    ended = json.loads(batchsim("status", "results.jsonl", "--json").stdout)
    assert (ended["reserved_usd"], ended["spent_usd"] > 0) == (0, True)
