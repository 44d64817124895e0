"""`batchsim run --real` against a service that does what none should: the promises hold."""

import json
from collections import Counter

import openai
import pytest

from batchsim.backends.openai import OpenAIBackend
from batchsim.clock import VirtualClock
from tests.campaigns import IS_FULL
from tests.faults.hostile.oddities import ODDITIES, Oddity
from tests.faults.hostile.service import START, Service, result_of

CAP = 0.01
KEY = "sk-test-0123456789"
LINES = 5
SAMPLE = [each for each in ODDITIES if each.group == "downloads"][::4]
EXIT_CODES = {0, 1, 2, 3, 75}


def request_lines() -> bytes:
    return b"".join(
        json.dumps(
            {
                "custom_id": f"r-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "gpt-4o-mini",
                    "max_completion_tokens": 10,
                    "messages": [{"role": "user", "content": f"say {number}"}],
                },
            }
        ).encode()
        + b"\n"
        for number in range(LINES)
    )


@pytest.fixture
def run(batchsim, desk, monkeypatch):
    """Run the job once against a service, as a person would on the command line."""
    (desk / "in.jsonl").write_bytes(request_lines())
    clock = VirtualClock(START)

    def once(service: Service):
        # without certificates, the reading of which would take most of a test's time
        plain = openai.DefaultHttpxClient(verify=False, trust_env=False, follow_redirects=False)
        with openai.OpenAI(base_url=service.address, api_key=KEY, http_client=plain) as client:
            backend = OpenAIBackend(client, clock=clock)
            for home in ("running.run_job", "jobs.job"):
                monkeypatch.setattr(
                    f"batchsim.cli.{home}.real_backend", lambda base_url=None: backend
                )
            return batchsim("run", "--real", "in.jsonl", "-o", "out.jsonl", "--max-cost", str(CAP))

    return once


def test_the_table_has_enough_of_each_group():
    groups = Counter(oddity.group for oddity in ODDITIES)
    assert len({str(oddity) for oddity in ODDITIES}) == len(ODDITIES) >= 300
    assert min(groups.values()) >= 20, groups


@pytest.mark.parametrize("oddity", ODDITIES if IS_FULL else SAMPLE, ids=str)
def test_the_promises_hold(oddity: Oddity, run, batchsim, desk):
    with Service(hooks=dict(oddity.hooks)) as service:
        first = run(service)
        check(oddity, service, first, desk)
        check_money(batchsim)
        service.hooks.clear()  # the service is itself again
        service.calls.clear()
        again = run(service)
        check(oddity, service, again, desk)
        check_money(batchsim)


def check(oddity: Oddity, service: Service, ended, desk) -> None:
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.code in EXIT_CODES, (ended.code, ended.stderr)
    assert len(service.batches) <= 1 + oddity.resends, ended.stderr
    assert "\x1b[2J" not in ended.stderr
    assert oddity.waits or not service.is_worn_out, ended.stderr
    if ended.code in (2, 75):
        assert "error: " in ended.stderr
        assert "hint: " in ended.stderr, ended.stderr
    if ended.code in (0, 1, 3):
        results = (desk / "out.jsonl").read_bytes().splitlines()
        assert [json.loads(line)["custom_id"] for line in results] == [
            f"r-{n}" for n in range(LINES)
        ]
        good = [
            line
            for line in results
            if (json.loads(line)["response"] or {}).get("status_code") == 200
        ]
        assert all(line in honest_results() for line in good)
        if ended.code == 0:
            assert len(good) == LINES


def honest_results() -> set[bytes]:
    return {json.dumps(result_of(f"r-{number}", number)).encode() for number in range(LINES)}


def check_money(batchsim) -> None:
    told = batchsim("status", "out.jsonl", "--json")
    if told.code != 0 or not told.stdout:
        return  # no job was begun
    money = json.loads(told.stdout).get("money")
    if money:
        spent, reserved = (float(money.get(name) or 0) for name in ("spent", "reserved"))
        assert spent + reserved <= CAP
