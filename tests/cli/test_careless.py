"""Commands in careless hands: one message, an exit code that tells, and nothing made or sent."""

import pytest

from batchsim.backends.fake import FakeBackend

HUGE = ("1000000001", "9223372036854775808", "9" * 40)


@pytest.mark.parametrize("limit", HUGE)
@pytest.mark.parametrize("what", ["batches", "files"])
def test_a_limit_that_no_list_has_is_refused(batchsim, service, what, limit) -> None:
    outcome = batchsim(what, "list", "--limit", limit)
    assert outcome.code == 2
    assert "--limit" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("amount", ["nan", "inf", "-nan", "1e999"])
@pytest.mark.parametrize("option", ["--max-cost", "--wait"])
def test_a_cap_that_caps_nothing_is_refused_before_anything_is_asked(
    batchsim, real, monkeypatch, option, amount
) -> None:
    """What could cost more than NaN is beyond no bound, so the trials would have begun."""
    monkeypatch.setattr(FakeBackend, "list_batches", lambda *_, **__: pytest.fail("asked"))
    outcome = batchsim("doctor", "--live", f"{option}={amount}")
    assert outcome.code == 2
    assert option in outcome.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--fake", "in.jsonl"),
        ("run", "--real", "in.jsonl"),
        ("adopt", "--real", "batch_1"),
        ("recover", "in.jsonl"),
    ],
    ids=" ".join,
)
def test_a_mistyped_directory_is_not_made(batchsim, real, desk, command) -> None:
    (desk / "in.jsonl").write_text("{}\n")
    outcome = batchsim(*command, "-o", "reslts/march.jsonl")
    assert outcome.code == 2
    assert "the directory reslts does not exist" in outcome.stderr
    assert not (desk / "reslts").exists()
    assert real.list_files().data == ()


@pytest.mark.parametrize("output", ["x/" * 3_000 + "x", "x" * 252])
def test_a_path_that_is_too_long_is_refused_before_the_work(batchsim, desk, output) -> None:
    (desk / "in.jsonl").write_text("{}\n")
    outcome = batchsim("run", "--fake", "in.jsonl", "-o", output)
    assert outcome.code == 2
    assert "name too long" in outcome.stderr
    assert "hint: name another" in outcome.stderr


@pytest.mark.parametrize("name", ["batch_nosuch", "../../x", "", "file-1"])
@pytest.mark.parametrize("verb", ["show", "cancel"])
def test_a_batch_that_is_not_there_is_one_message(batchsim, service, verb, name) -> None:
    outcome = batchsim("batches", verb, name)
    assert outcome.code == 1
    assert outcome.stderr.startswith("error: ")
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("command", ["status", "watch", "cancel", "results"])
@pytest.mark.parametrize("job", ["nosuch", "empty", "file", "garbage"])
def test_a_job_that_is_none_is_one_message(batchsim, desk, command, job) -> None:
    (desk / "empty").mkdir()
    (desk / "file").write_text("x")
    (desk / "garbage").mkdir()
    (desk / "garbage" / "journal.db").write_text("garbage")
    outcome = batchsim(command, job)
    assert outcome.code == 2
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 2, "a message and a hint"
    assert outcome.stdout == ""
