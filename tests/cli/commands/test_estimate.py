import json
import tracemalloc

import pytest

from tests.repository import DEMO_INPUT, FIXTURES

MISTAKES = FIXTURES / "inputs" / "mistakes.jsonl"


def chat_line(custom_id: str, url: str = "/v1/chat/completions", **body) -> str:
    if url == "/v1/chat/completions":
        messages = [{"role": "user", "content": "x" * 44}]  # 3 + 3 + 10 tokens
        body = {"model": "gpt-4o-mini", "messages": messages, **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}) + "\n"


def embedding(custom_id: str) -> str:
    return chat_line(custom_id, "/v1/embeddings", model="text-embedding-3-small", input="x" * 44)


@pytest.fixture(autouse=True)
def no_vocabularies(monkeypatch, request):
    """Estimate from lengths, as where batchsim[tokens] is not installed, unless a test counts."""
    if "with_vocabularies" not in request.fixturenames:
        monkeypatch.setattr("batchsim.pricing.token_counter.has_vocabularies", lambda: False)


@pytest.fixture
def with_vocabularies():
    """The vocabularies are installed."""


@pytest.fixture
def estimate(batchsim, desk):
    """`estimate(line, ...)` -> the outcome, and the object that it printed."""

    def run(*lines, options=()):
        (desk / "input.jsonl").write_text("".join(lines), "utf-8")
        outcome = batchsim("estimate", "input.jsonl", "--json", *options)
        assert outcome.code == 0, outcome.stderr
        return json.loads(outcome.stdout)

    return run


def test_the_table_tells_work_and_money(batchsim, desk) -> None:
    content = (
        chat_line("a", max_tokens=100) + chat_line("b", max_completion_tokens=900) + embedding("c")
    )
    (desk / "input.jsonl").write_text(content)
    outcome = batchsim("estimate", "input.jsonl")
    assert outcome.code == 0
    assert [" ".join(row.split()) for row in outcome.stdout.splitlines()] == [
        "MODEL ENDPOINT LINES BATCHES UPLOAD TOKENS BATCH PRICE ORDINARY PRICE",
        "gpt-4o-mini /v1/chat/completions 2 1 435 B 32 in, estimated $0.0000024 $0.0000048",
        "1,000 out, at most $0.00030 $0.00060",
        "text-embedding-3-small /v1/embeddings 1 1 164 B 10 in, estimated $0.00000010 $0.00000020",
        "0 out, at most $0 $0",
        "total 3 2 599 B 42 in, estimated $0.0000025 $0.0000050",
        "1,000 out, at most $0.00030 $0.00060",
    ]
    assert outcome.stderr == (
        "note: no batch price of text-embedding-3-small is listed: "
        "half of its ordinary price is taken\n"
        "note: prompt tokens are estimated from lengths, mostly within a quarter; "
        "pip install 'batchsim[tokens]' to have them counted\n"
        "note: expect 7 min to 60 min, and 24.0 h at most: half of all batches of 2026 took less "
        "than 7 minutes, nine of ten less than an hour\n"
    )


def test_one_object_has_the_sums_and_the_groups(estimate) -> None:
    told = estimate(chat_line("a", max_tokens=1_000_000), embedding("b"))
    chat, embeddings = told.pop("groups")
    assert told == {
        "lines": 2,
        "batches": 2,
        "upload_bytes": chat["upload_bytes"] + embeddings["upload_bytes"],
        "prompt_tokens": 26,
        "most_output_tokens": 1_000_000,
        "unbounded_lines": 0,
        "unseen_prompt_lines": 0,
        "batch_usd": {"input": 1.3e-06, "most_output": 0.3},
        "ordinary_usd": {"input": 2.6e-06, "most_output": 0.6},
        "expected_seconds": {"usual": 420, "slow": 3600, "longest": 86400},
        "queue_turns": 1,
    }
    assert chat == {
        "model": "gpt-4o-mini",
        "endpoint": "/v1/chat/completions",
        "lines": 1,
        "batches": 1,
        "upload_bytes": len(chat_line("a", max_tokens=1_000_000)),
        "prompt_tokens": 16,
        "most_output_tokens": 1_000_000,
        "unbounded_lines": 0,
        "unseen_prompt_lines": 0,
        "batch_usd": {"input": 1.2e-06, "most_output": 0.3},
        "ordinary_usd": {"input": 2.4e-06, "most_output": 0.6},
        "expected_seconds": {"usual": 420, "slow": 3600, "longest": 86400},
        "queue_turns": 1,
        "counted_with": None,
        "price_known": True,
        "batch_price_listed": True,
    }
    assert embeddings["most_output_tokens"] == 0
    assert embeddings["batch_price_listed"] is False


def test_batches_and_upload_are_those_of_a_run(batchsim, desk, estimate) -> None:
    lines = [chat_line(f"line-{n}") for n in range(50_001)] + [chat_line("o", model="gpt-4o")]
    told = estimate(*lines)
    assert [group["batches"] for group in told["groups"]] == [2, 1]
    assert told["batches"] == 3
    assert told["upload_bytes"] == (desk / "input.jsonl").stat().st_size
    assert sorted(path.name for path in desk.iterdir()) == [".stdin", "input.jsonl"]


def test_one_line_without_a_limit_leaves_the_output_unbounded(batchsim, desk, estimate) -> None:
    told = estimate(chat_line("a", max_tokens=9), chat_line("b"))
    assert (told["most_output_tokens"], told["unbounded_lines"]) == (None, 1)
    assert told["batch_usd"]["most_output"] is None
    outcome = batchsim("estimate", "input.jsonl")
    last = outcome.stdout.splitlines()[-1].split()
    assert last == ["unbounded", "out,", "at", "most", "unbounded", "unbounded"]
    assert "note: there is no limit to the output of 1 of the 2 lines for gpt-4o" in outcome.stderr


@pytest.mark.parametrize("limit", [{}, {"max_tokens": 5}], ids=["unbounded", "bounded"])
def test_an_unknown_price_is_said_and_never_nothing(batchsim, desk, estimate, limit) -> None:
    told = estimate(chat_line("a", model="gpt-9-unheard-of", **limit), chat_line("b", max_tokens=1))
    unknown = {"input": None, "most_output": None}
    assert told["batch_usd"] == told["ordinary_usd"] == unknown
    assert [group["price_known"] for group in told["groups"]] == [False, True]
    outcome = batchsim("estimate", "input.jsonl")
    rows = outcome.stdout.splitlines()[1:]
    assert [row.split()[-2:] for row in rows if "$" not in row] == [["unknown", "unknown"]] * 4
    assert "note: the price of gpt-9-unheard-of is not known" in outcome.stderr


def test_prompts_that_lie_elsewhere_are_told(batchsim, desk, estimate) -> None:
    body = {"model": "gpt-4o-mini", "input": "Hi"}
    told = estimate(
        chat_line("a", "/v1/responses", **body, previous_response_id="resp_1"),
        chat_line("b", "/v1/responses", **body),
    )
    assert told["unseen_prompt_lines"] == 1
    outcome = batchsim("estimate", "input.jsonl")
    assert "is named by 1 of the 2 lines for gpt-4o-mini at /v1/responses: its" in outcome.stderr


def test_a_line_without_a_model_has_no_known_price(estimate) -> None:
    told = estimate(chat_line("a", "/v1/moderations", input="x" * 44))
    assert told["groups"][0]["model"] is None
    assert told["batch_usd"]["input"] is None
    assert told["prompt_tokens"] == 10


def test_the_input_may_be_standard_input(batchsim, desk) -> None:
    outcome = batchsim("estimate", "-", "--json", stdin=DEMO_INPUT.read_bytes())
    assert json.loads(outcome.stdout)["lines"] == 3
    assert [path.name for path in desk.iterdir()] == [".stdin"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_bad_input_is_refused_as_by_run(batchsim, desk, options) -> None:
    told = batchsim("estimate", str(MISTAKES), *options)
    refused = batchsim("run", "--fake", str(MISTAKES))
    assert (told.code, told.stdout, told.stderr) == (2, "", refused.stderr)


@pytest.mark.parametrize(
    ("source", "reason"),
    [("none.jsonl", "there is no such file"), ("-", "standard input: empty_file")],
)
def test_nothing_to_read_is_refused(batchsim, source, reason) -> None:
    outcome = batchsim("estimate", source)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert reason in outcome.stderr


def test_other_models_are_let_in_when_asked(batchsim, desk, estimate) -> None:
    mistral = chat_line("a", model="mistral-small", max_tokens=5)
    assert estimate(mistral, options=["--any-model"])["lines"] == 1
    outcome = batchsim("estimate", "input.jsonl")
    assert outcome.code == 2
    assert "model_not_found" in outcome.stderr


def test_hostile_model_names_cannot_write_to_the_terminal(batchsim, desk) -> None:
    (desk / "input.jsonl").write_text(chat_line("a", model="gpt-\x1b[2J\u202e"))
    outcome = batchsim("estimate", "input.jsonl", "--any-model")
    assert outcome.code == 0
    assert not {"\x1b", "\u202e"} & set(outcome.stdout + outcome.stderr)


def test_memory_does_not_grow_with_the_bodies(batchsim, desk) -> None:
    def peak(words: int) -> int:
        messages = [{"role": "user", "content": "x" * words}]
        with (desk / "input.jsonl").open("w") as stream:
            stream.writelines(chat_line(f"line-{n}", messages=messages) for n in range(2_000))
        tracemalloc.start()
        try:
            assert batchsim("estimate", "input.jsonl").code == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(500)  # what is imported and listed once
    small, large = peak(500), peak(10_000)
    assert large - small < 4_000_000  # of 19 MB more


@pytest.mark.usefixtures("with_vocabularies")
def test_prompts_are_counted_where_the_vocabulary_is_installed(batchsim, desk):
    content = chat_line("a", max_tokens=1) + chat_line("b", model="gpt-6-luna", max_tokens=1)
    (desk / "input.jsonl").write_text(content)
    told = json.loads(batchsim("estimate", "input.jsonl", "--json").stdout)
    assert [each["counted_with"] for each in told["groups"]] == ["o200k_base", None]
    outcome = batchsim("estimate", "input.jsonl")
    manners = [
        row.split("in, ")[1].split()[0] for row in outcome.stdout.splitlines() if "in, " in row
    ]
    assert manners == ["counted", "estimated", "estimated"]
    assert "pip install" not in outcome.stderr


def test_more_than_the_queue_takes_waits_for_its_turn(batchsim, desk, estimate):
    told = estimate(
        *(
            chat_line(f"{n}", messages=[{"role": "user", "content": "x" * 44_000}])
            for n in range(201)
        )
    )
    assert told["queue_turns"] == 2  # of 2,000,000 tokens for gpt-4o-mini
    assert told["expected_seconds"]["longest"] == 2 * 86_400
    assert "note: expect 14 min to 2.0 h in 2 turns" in batchsim("estimate", "input.jsonl").stderr


def test_the_limits_and_models_may_be_those_of_another_service(batchsim, desk):
    lines = [chat_line(f"{n}", model="Qwen/Qwen3-32B", max_tokens=1) for n in range(5_001)]
    (desk / "input.jsonl").write_text("".join(lines))
    outcome = batchsim("estimate", "input.jsonl", "--json", "--provider", "siliconflow")
    told = json.loads(outcome.stdout)
    assert told["batches"] == 2
    assert told["batch_usd"] == {"input": None, "most_output": None}
    assert batchsim("estimate", "input.jsonl").code == 2
