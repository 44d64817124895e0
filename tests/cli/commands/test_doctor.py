import io
import json
import socket

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.cli.terminal.state_folder import state_folder
from batchsim.errors import AuthenticationFailed, NotFound, Refused
from batchsim.runner.service_checks import Trials, Verdict, line, most_cost


def table_rows(stdout: str) -> dict[str, list[str]]:
    checks = [json.loads(each) for each in stdout.splitlines()]
    return {each["check"]: [each["result"], each["seen"]] for each in checks}


def test_a_healthy_place_is_told(batchsim, real) -> None:
    outcome = batchsim("doctor", "--json")
    told = table_rows(outcome.stdout)
    assert outcome.code == 0
    assert {"python", "openai", "sqlite", "state directory", "key", "batches", "files"} <= set(told)
    assert all(result in ("ok", "note") for result, _ in told.values())
    assert "50,000 lines and 200 MB a batch" in told["limits"][1]
    assert "--live tries out A1 to A6" in outcome.stderr
    assert real.list_files().data == ()
    assert len(batchsim("doctor").stdout.splitlines()) == len(told) + 1


def test_the_key_is_shown_by_its_end_only(batchsim, real, monkeypatch) -> None:
    from openai import OpenAI

    from batchsim.backends.openai import OpenAIBackend

    for key, shown in (("sk-abcdefghijklmnopqrst", "sk-…qrst"), ("secret", "…")):
        assert OpenAIBackend(OpenAI(api_key=key)).key_hint == shown
    assert "sk-batchsim" not in batchsim("doctor").stdout


def test_the_proxy_is_named_without_its_password(batchsim, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    outcome = batchsim("doctor", "--base-url", "https://service.invalid/v1", "--json")
    told = table_rows(outcome.stdout)
    assert outcome.code == 1
    assert told["proxy"][0] == "note"
    assert told["proxy"][1].endswith(f"is reached through http://127.0.0.1:{port}")
    assert "secret" not in outcome.stdout + outcome.stderr


def test_without_a_key_it_says_what_is_missing(batchsim) -> None:
    outcome = batchsim("doctor")
    assert outcome.code == 2
    assert "there is no API key" in outcome.stderr


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("http://example.com/v1", "would send the key in clear"),
        ("https://user:pass@example.com/v1", "holds a user name or password"),
    ],
)
def test_an_address_that_gives_the_key_away_is_not_asked(
    batchsim, real, monkeypatch, address, seen
) -> None:
    monkeypatch.setattr(FakeBackend, "list_batches", lambda *_, **__: pytest.fail("asked"))
    outcome = batchsim("doctor", "--base-url", address, "--json")
    assert outcome.code == 1
    assert table_rows(outcome.stdout)["base URL"][0] == "failed"
    assert seen in table_rows(outcome.stdout)["base URL"][1]
    assert "pass@" not in outcome.stdout


def test_a_key_that_is_refused_is_a_failed_check(batchsim, real, monkeypatch) -> None:
    def refused(*_, **__):
        raise AuthenticationFailed("Incorrect API key provided.", status=401)

    monkeypatch.setattr(FakeBackend, "list_batches", refused)
    outcome = batchsim("doctor", "--live", "--json")
    assert outcome.code == 1
    assert table_rows(outcome.stdout)["batches"][0] == "failed"
    assert "A1" not in outcome.stdout
    assert real.list_files().data == ()


def test_the_live_trials_tell_what_holds_and_clean_up(batchsim, real) -> None:
    outcome = batchsim("doctor", "--live", "--json")
    told = {name[:2]: result for name, (result, _) in table_rows(outcome.stdout).items()}
    assert outcome.code == 0
    assert {name: told[name] for name in ("A1", "A2", "A3", "A4", "A5", "A6")} == dict.fromkeys(
        ("A1", "A2", "A3", "A4", "A5", "A6"), "holds"
    )
    assert "at most $0.0000" in outcome.stderr
    real.clock.sleep(3_600)
    assert real.list_files().data == ()
    assert all(batch.status.is_terminal for batch in real.list_batches(limit=100).data)
    ran = sum(batch.request_counts.completed for batch in real.list_batches(limit=100).data)
    assert ran == 1
    kept = json.loads((state_folder() / "doctor.jsonl").read_text())
    assert kept["findings"]["A1"][0] == "holds"


def test_what_could_cost_too_much_or_has_no_price_is_not_tried(batchsim, real) -> None:
    cheap = batchsim("doctor", "--live", "--max-cost", "0.0000001")
    assert cheap.code == 2
    assert "more than $1e-07" in cheap.stderr
    unknown = batchsim("doctor", "--live", "--model", "gpt-never-heard-of")
    assert unknown.code == 2
    assert "has no bound" in unknown.stderr
    assert real.list_files().data == ()


def test_the_cost_told_is_that_of_every_line_run() -> None:
    one, ten = most_cost("gpt-4.1-nano", 1), most_cost("gpt-4.1-nano", 10)
    assert one > 0
    assert ten == pytest.approx(one * 4)
    assert most_cost("gpt-never-heard-of", 1) is None
    assert len(line("gpt-4.1-nano").splitlines()) == 1


@pytest.fixture
def findings():
    """What the trials find on a simulator."""

    def find(fake: FakeBackend, creates: int = 2) -> dict[str, tuple[Verdict, str]]:
        trials = Trials(fake, "gpt-4.1-nano", creates, 900, lambda _: None)
        found = {each.name: (each.verdict, each.seen) for each in trials.run()}
        fake.close()
        return found

    return find


def test_a_service_that_runs_a_batch_over_a_deleted_file_breaks_a1(findings, monkeypatch) -> None:
    monkeypatch.setattr(FakeBackend, "delete_file", lambda *_: None)
    assert findings(FakeBackend())["A1"][0] is Verdict.BROKEN


def test_a_list_that_lags_or_is_unsorted_breaks_a3(findings) -> None:
    from batchsim.backends.fake import Faults

    late = findings(FakeBackend(faults=Faults(stale_list_for=10)))["A3"]
    assert late[0] is Verdict.HOLDS
    assert "appeared after" in late[1]
    assert float(late[1].split("after ")[1].split(" s")[0]) >= 9
    never = findings(FakeBackend(faults=Faults(stale_list_for=600)))["A3"]
    assert never[0] is Verdict.BROKEN


def test_metadata_that_come_back_changed_break_a4(findings, monkeypatch) -> None:
    from dataclasses import replace

    whole = FakeBackend.retrieve_batch
    monkeypatch.setattr(
        FakeBackend,
        "retrieve_batch",
        lambda self, batch_id: replace(whole(self, batch_id), metadata={"other": "1"}),
    )
    assert findings(FakeBackend())["A4"][0] is Verdict.BROKEN


def test_a_batch_that_misses_its_file_later_breaks_a6(findings, monkeypatch) -> None:
    from dataclasses import replace

    from batchsim.domain.lifecycle import Status

    whole = FakeBackend.retrieve_batch

    def needs_file(self, batch_id):
        batch = whole(self, batch_id)
        try:
            self.retrieve_file(batch.input_file_id)
        except NotFound:
            return replace(batch, status=Status.FAILED)
        return batch

    monkeypatch.setattr(FakeBackend, "retrieve_batch", needs_file)
    assert findings(FakeBackend())["A6"][0] is Verdict.BROKEN


def test_what_does_not_end_in_time_stays_undecided(findings, monkeypatch) -> None:
    found = findings(FakeBackend(scenario="stuck_validating"))
    assert found["A6"][0] is Verdict.UNDECIDED


def test_trials_that_fail_half_way_leave_nothing_behind(monkeypatch) -> None:
    whole, calls = FakeBackend.create_batch, []

    def third_fails(self, **options):
        calls.append(1)
        if len(calls) == 4:
            raise Refused("no more")
        return whole(self, **options)

    monkeypatch.setattr(FakeBackend, "create_batch", third_fails)
    fake = FakeBackend()
    with pytest.raises(Refused):
        list(Trials(fake, "gpt-4.1-nano", 3, 900, lambda _: None).run())
    fake.clock.sleep(3_600)
    assert fake.list_files(purpose="batch").data == ()
    assert all(batch.status.is_terminal for batch in fake.list_batches().data)
    assert isinstance(io.BytesIO(line("x")).read(), bytes)
    fake.close()
