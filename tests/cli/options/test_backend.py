import pytest

LINE = (
    '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
    '"body": {"model": "llama-3.3-70b", "messages": []}}\n'
)


@pytest.fixture
def groq_key(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-1")


def test_a_providers_key_is_asked_for_by_its_name(batchsim, desk, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    (desk / "input.jsonl").write_text(LINE)
    for command in (["run", "--real", "input.jsonl"], ["batches", "list"], ["files", "list"]):
        outcome = batchsim(*command, "--provider", "groq")
        assert outcome.code == 2
        assert "no API key for Groq" in outcome.stderr
        assert "export GROQ_API_KEY=..." in outcome.stderr
    assert sorted(path.name for path in desk.iterdir()) == [".stdin", "input.jsonl"]


@pytest.mark.usefixtures("groq_key")
def test_a_provider_may_have_another_address(batchsim, desk):
    outcome = batchsim(
        "batches", "list", "--provider", "groq", "--base-url", "http://127.0.0.1:9/v1"
    )
    assert outcome.code != 0
    assert "nothing was sent" in outcome.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [("grok", "choose one of openai, azure, groq"), ("mistral", "another API: its jobs lie at")],
)
def test_a_provider_that_is_none_is_refused(batchsim, desk, name, said):
    outcome = batchsim("batches", "list", "--provider", name)
    assert outcome.code == 2
    assert said in outcome.stderr


@pytest.mark.usefixtures("groq_key")
def test_the_simulator_has_no_provider(batchsim, desk):
    (desk / "input.jsonl").write_text(LINE)
    outcome = batchsim("run", "--fake", "--provider", "groq", "input.jsonl")
    assert outcome.code == 2
    assert "--provider names a real service" in outcome.stderr


@pytest.mark.usefixtures("groq_key")
def test_a_provider_alone_does_not_mean_that_money_may_be_spent(batchsim, desk):
    (desk / "input.jsonl").write_text(LINE)
    outcome = batchsim("run", "--provider", "groq", "input.jsonl")
    assert outcome.code == 2
    assert "nobody spends money by default" in outcome.stderr
