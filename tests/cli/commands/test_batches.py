import io
import json

import pytest

from batchsim.errors import RateLimited, Unavailable

CHAT = "/v1/chat/completions"


def chat_line(custom_id: str, **body) -> str:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body})


@pytest.fixture
def create_batches(service):
    """`create_batches(line, ...)` -> a batch over these lines, a minute after the one before it."""

    def start(*lines, endpoint=CHAT, **options):
        content = "\n".join(lines or [chat_line("a")]).encode()
        file = service.upload_file(io.BytesIO(content), filename="input.jsonl")
        batch = service.create_batch(input_file_id=file.id, endpoint=endpoint, **options)
        service.clock.advance(60)
        return batch

    return start


def batch_ids(stdout: str) -> list[str]:
    return [json.loads(line)["id"] for line in stdout.splitlines()]


def test_batches_are_listed_newest_first_with_counts_and_age(
    batchsim, create_batches, service
) -> None:
    done = create_batches(chat_line("a"), chat_line("b", temperature=999), chat_line("c"))
    service.clock.advance(86_400 * 3)
    new = create_batches()
    outcome = batchsim("batches", "list")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert [line.split() for line in outcome.stdout.splitlines()] == [
        ["ID", "STATUS", "ENDPOINT", "LINES", "OK", "FAILED", "CREATED"],
        [new.id, "validating", CHAT, "0", "0", "0", "60", "s", "ago"],
        [done.id, "completed", CHAT, "3", "2", "1", "3", "days", "ago"],
    ]


def test_columns_are_aligned(batchsim, create_batches) -> None:
    create_batches()
    heading, row = batchsim("batches", "list").stdout.splitlines()
    assert heading.index("STATUS") == row.index("validating")
    assert heading.index("LINES") + len("LINES") == row.index(" 0 ") + 2
    assert len(heading) == len(row)


def test_the_json_of_a_list_is_the_apis_own_objects(batchsim, create_batches, service) -> None:
    batch = create_batches(metadata={"night": "1"})
    outcome = batchsim("batches", "list", "--json")
    assert json.loads(outcome.stdout) == service.retrieve_batch(batch.id).to_object()


def test_no_batches_are_an_empty_table(batchsim, service) -> None:
    outcome = batchsim("batches", "list")
    assert (outcome.code, len(outcome.stdout.splitlines())) == (0, 1)
    assert batchsim("batches", "list", "--json").stdout == ""


def test_a_list_goes_on_over_pages_of_a_hundred(batchsim, create_batches) -> None:
    created = [create_batches().id for _ in range(205)][::-1]
    first = batchsim("batches", "list", "--json")
    assert batch_ids(first.stdout) == created[:20]
    assert "there are more; --all" in first.stderr
    assert (
        batch_ids(batchsim("batches", "list", "--json", "--limit", "150").stdout) == created[:150]
    )
    whole = batchsim("batches", "list", "--json", "--all")
    assert batch_ids(whole.stdout) == created
    assert whole.stderr == ""


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_is_a_positive_number(batchsim, service, limit) -> None:
    outcome = batchsim("batches", "list", "--limit", limit)
    assert (outcome.code, outcome.stdout) == (2, "")


def test_a_batch_is_shown_with_times_files_usage_and_cost(
    batchsim, create_batches, service
) -> None:
    batch = create_batches(chat_line("a"), chat_line("b"), metadata={"night": "17"})
    service.clock.advance(86_400)
    batch = service.retrieve_batch(batch.id)
    outcome = batchsim("batches", "show", batch.id)
    shown = dict(line.split(maxsplit=1) for line in outcome.stdout.splitlines())
    assert outcome.code == 0
    assert shown["status"] == "completed"
    assert shown["model"] == "gpt-4o-mini-2024-07-18"
    assert shown["lines"] == "2: 2 ok, 0 failed"
    assert shown["created_at"] == "2026-01-01T00:00:00Z, 24.0 h ago"
    assert shown["output_file_id"] == batch.output_file_id
    assert shown["metadata.night"] == "17"
    usage = batch.usage
    assert shown["usage"].startswith(f"{usage.input_tokens} tokens in (0 cached)")
    dollars = (usage.input_tokens * 0.075 + usage.output_tokens * 0.3) / 1_000_000
    assert float(shown["cost"].removeprefix("$")) == pytest.approx(dollars, rel=0.05)
    assert "error_file_id" not in shown
    assert "failed_at" not in shown


def test_a_cost_at_an_unknown_price_is_unknown(
    batchsim, service, create_batches, monkeypatch
) -> None:
    from dataclasses import replace

    batch = create_batches()
    service.clock.advance(86_400)
    ended = replace(service.retrieve_batch(batch.id), model="gpt-never-heard-of")
    monkeypatch.setattr(service, "retrieve_batch", lambda _: ended)
    assert "cost            unknown: " in batchsim("batches", "show", batch.id).stdout


def test_a_failed_batch_says_why_and_what_to_do(batchsim, create_batches, service) -> None:
    batch = create_batches(chat_line("a"), chat_line("a"))
    service.clock.advance(3_600)
    outcome = batchsim("batches", "show", batch.id)
    assert "error: line 2: duplicate_custom_id: The custom_id 'a'" in outcome.stdout
    assert "    hint: give every line a custom_id of its own\n" in outcome.stdout


def test_the_json_of_show_is_one_object_per_batch(batchsim, create_batches) -> None:
    first, second = create_batches().id, create_batches().id
    outcome = batchsim("batches", "show", "--json", second, first)
    assert batch_ids(outcome.stdout) == [second, first]


def test_a_batch_is_cancelled(batchsim, create_batches, service) -> None:
    batch = create_batches()
    outcome = batchsim("batches", "cancel", batch.id)
    assert (outcome.code, outcome.stdout) == (0, f"{batch.id} is cancelling\n")
    assert service.retrieve_batch(batch.id).status == "cancelling"


def test_what_cannot_be_cancelled_is_told_and_the_others_are(
    batchsim, create_batches, service
) -> None:
    ended = create_batches()
    service.clock.advance(86_400)
    live = create_batches()
    outcome = batchsim("batches", "cancel", "--json", ended.id, "batch_none", live.id)
    assert outcome.code == 1
    assert batch_ids(outcome.stdout) == [live.id]
    assert outcome.stderr.count("error: ") == 2
    assert "batch_none" in outcome.stderr


@pytest.mark.parametrize(
    ("error", "text"),
    [(Unavailable("gone"), "could not retrieve the batch"), (RateLimited("slowly"), "slowly")],
    ids=["unavailable", "rate limited"],
)
def test_trouble_with_the_service_stops_at_once(
    batchsim, create_batches, service, monkeypatch, error, text
) -> None:
    batch = create_batches()

    def fail(_batch_id):
        raise error

    monkeypatch.setattr(service, "retrieve_batch", fail)
    outcome = batchsim("batches", "show", batch.id, "batch_other")
    assert (outcome.code, outcome.stdout) == (75, "")
    assert outcome.stderr.count("error: ") == 1
    assert text in outcome.stderr


def test_without_a_key_nothing_is_asked(batchsim) -> None:
    outcome = batchsim("batches", "list")
    assert outcome.code == 2
    assert "there is no API key" in outcome.stderr


def test_the_base_url_may_be_given(batchsim, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    outcome = batchsim("batches", "list", "--base-url", "nonsense")
    assert outcome.code == 2
    assert "the base URL is not a web address: nonsense" in outcome.stderr


def test_a_service_that_is_not_there_is_told(batchsim, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    outcome = batchsim("batches", "list", "--base-url", "http://127.0.0.1:1/v1")
    assert outcome.code == 75
    assert "could not list the batches" in outcome.stderr


def test_a_served_simulator_is_looked_at_over_its_port(batchsim, desk, monkeypatch) -> None:
    pytest.importorskip("httptools", reason="the extra batchsim[serve] is not installed")
    from batchsim.backends.fake import FakeBackend
    from batchsim.clock import VirtualClock
    from batchsim.server.serve import running
    from batchsim.wire import App

    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    fake = FakeBackend(seed=1, clock=VirtualClock())
    content = io.BytesIO(chat_line("a").encode())
    file = fake.upload_file(content, filename="input.jsonl")
    batch = fake.create_batch(input_file_id=file.id, endpoint=CHAT)
    with running(App(fake)) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
        assert batch_ids(batchsim("batches", "list", "--json").stdout) == [batch.id]
        assert batchsim("files", "download", file.id, "-o", "copy.jsonl").code == 0
        assert batchsim("files", "delete", file.id, "--yes").code == 0
        assert batchsim("batches", "show", "batch_none").code == 1
    assert (desk / "copy.jsonl").read_bytes() == content.getvalue()
    assert fake.list_files().data == ()
    fake.close()
