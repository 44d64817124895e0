"""`batchsim record` as a process of its own, before a simulated service on a port."""

import json
import signal
import urllib.request

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.server.serve import running
from batchsim.wire import App

ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.slow
def test_it_records_until_it_is_stopped(process, desk, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-of-the-environment")
    with (
        running(App(FakeBackend())) as upstream,
        process("record", "--upstream", f"{upstream}/v1", "--port", "0") as proxy,
    ):
        address = proxy.stdout.readline().decode().strip().partition("=")[2]
        assert proxy.stdout.readline() == b"export OPENAI_API_KEY=sk-any\n"
        request = urllib.request.Request(
            f"{address}/chat/completions",
            json.dumps(ASK).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer sk-any"},
        )
        with urllib.request.urlopen(request) as answer:
            said = json.load(answer)
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait(20) == 0
        told = proxy.stderr.read().decode()
    (line,) = (desk / "cassette.jsonl").read_bytes().splitlines()
    assert json.loads(line)["response"]["body"] == said
    assert told.splitlines()[-1] == "1 recording on cassette.jsonl"
    assert "canary" not in told + line.decode()


def test_it_asks_for_an_upstream_and_a_key(batchsim, desk):
    outcome = batchsim("record", "--forward-auth")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "hint: for OpenAI: --upstream https://api.openai.com/v1" in outcome.stderr
    outcome = batchsim("record", "--upstream", "https://api.openai.com/v1")
    assert outcome.code == 2
    assert "there is no API key, to be sent upstream" in outcome.stderr
    assert not (desk / "cassette.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words", "hint"),
    [
        (("--upstream", "http://example.org/v1"), "would be sent in clear", "BATCHSIM_INSECURE=1"),
        (("--upstream", "http://example.org/v1", "--forward-auth"), "in clear", "https://"),
        (("--provider", "azure"), "has no address of its own", "export AZURE_OPENAI_ENDPOINT="),
        (
            ("--provider", "azure", "--upstream", "https://me.openai.azure.com"),
            "no API key for Azure OpenAI, to be sent upstream",
            "export AZURE_OPENAI_API_KEY=..., or let clients use theirs: --forward-auth",
        ),
    ],
)
def test_no_key_goes_where_it_must_not(batchsim, desk, monkeypatch, options, words, hint):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    outcome = batchsim("record", *options)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
    assert hint in outcome.stderr
    assert not (desk / "cassette.jsonl").exists()


def test_it_names_an_upstream_that_cannot_be_one(batchsim):
    outcome = batchsim("record", "--forward-auth", "--upstream", "https://169.254.169.254/")
    assert outcome.code == 2
    assert "an address of this network segment only" in outcome.stderr
