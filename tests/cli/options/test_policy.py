"""The options that say how a job is run."""

import json


def test_what_is_left_at_the_deadline_is_finished_without_a_batch(batchsim, desk):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (desk / "input.jsonl").write_text(json.dumps(line) + "\n")
    ended = batchsim(
        "run", "--fake", "input.jsonl", "-o", "out", "--finish-sync", "--deadline", "40s"
    )
    assert ended.code == 0, ended.stderr
    assert "the deadline nears" in ended.stderr
    account = json.loads((desk / "out.job" / "ledger.jsonl").read_bytes())
    assert (account["outcome"], account["batch"]) == ("ok", None)


def test_a_deadline_needs_leave_to_pay_for_it(batchsim, desk):
    (desk / "input.jsonl").write_text("{}\n")
    ended = batchsim("run", "--fake", "input.jsonl", "-o", "out", "--deadline", "6h")
    assert ended.code == 2
    assert "--finish-sync" in ended.stderr


def test_a_deadline_is_a_time(batchsim, desk):
    for wrong in ("6", "h", "-1h", "0h", "1e3s", "6 h", "1w"):
        ended = batchsim("run", "--fake", "x", "--finish-sync", "--deadline", wrong)
        assert ended.code == 2
        assert "is not a time" in ended.stderr
