import io
import json

import pytest

from batchsim.backends.fake import PACINGS, SCENARIOS, FakeBackend, scenario_of
from batchsim.domain.lifecycle import Status
from batchsim.errors import Refused, UsageError
from batchsim.testing.example import LEGAL

HOUR = 3_600
LINES = 40


def input_file() -> io.BytesIO:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = [json.dumps({"custom_id": f"line-{n}", **line}) for n in range(LINES)]
    return io.BytesIO("\n".join(lines).encode())


def fake_in_scenario(name: str, pacing: str = "today") -> FakeBackend:
    scenario = scenario_of(name)
    return FakeBackend(pacing=scenario.paced(PACINGS[pacing]), faults=scenario.faults)


def batch_after(name: str, seconds: float, pacing: str = "today"):
    fake = fake_in_scenario(name, pacing)
    file = fake.upload_file(input_file(), filename="input.jsonl")
    fake.clock.sleep(2)
    batch = fake.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    fake.clock.sleep(seconds)
    return fake, fake.retrieve_batch(batch.id)


def output_ids(fake: FakeBackend, batch) -> list[str]:
    content = b"".join(fake.read_file(batch.output_file_id))
    return [json.loads(line)["custom_id"] for line in content.splitlines()]


@pytest.mark.parametrize(
    ("name", "hours", "status"),
    [
        ("completed", 1, Status.COMPLETED),
        ("slow", 1, Status.IN_PROGRESS),
        ("slow", 10, Status.COMPLETED),
        ("stuck_validating", 23, Status.VALIDATING),
        ("stuck_in_progress", 100, Status.IN_PROGRESS),
        ("stuck_finalizing", 23, Status.FINALIZING),
        ("expired_partial", 25, Status.EXPIRED),
        ("expired_empty", 25, Status.EXPIRED),
        ("late_expiry", 24.25, Status.IN_PROGRESS),
        ("late_expiry", 25, Status.EXPIRED),
        ("quota_exhausted", 1, Status.COMPLETED),
        ("missing_lines", 1, Status.COMPLETED),
    ],
)
@pytest.mark.parametrize("pacing", ["today", "quick"])
def test_a_scenario_leads_where_it_says(name, hours, status, pacing) -> None:
    assert batch_after(name, hours * HOUR, pacing)[1].status is status


def test_every_scenario_is_described_and_keeps_its_name() -> None:
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert scenario.description


def test_an_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as refused:
        scenario_of("sunshine")
    assert "expired_partial" in str(refused.value.hint)


def test_expired_partial_runs_about_half() -> None:
    _, batch = batch_after("expired_partial", 25 * HOUR)
    assert 0.4 * LINES < batch.request_counts.completed < 0.6 * LINES


def test_expired_empty_runs_nothing() -> None:
    _, batch = batch_after("expired_empty", 25 * HOUR)
    assert batch.request_counts.completed == 0
    assert batch.output_file_id is None


def test_quota_exhausted_runs_two_lines() -> None:
    _, batch = batch_after("quota_exhausted", HOUR)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, LINES - 2)


def test_late_output_file_shows_its_ids_later() -> None:
    fake = fake_in_scenario("late_output_file", "instant")
    file = fake.upload_file(input_file(), filename="input.jsonl")
    batch = fake.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    early = fake.retrieve_batch(batch.id)
    fake.clock.sleep(31)
    late = fake.retrieve_batch(batch.id)
    assert (early.status, early.output_file_id) == (Status.COMPLETED, None)
    assert late.output_file_id is not None


def test_missing_lines_are_fewer_and_doubled_ones_more() -> None:
    assert 0 < len(output_ids(*batch_after("missing_lines", HOUR))) < LINES
    doubled = output_ids(*batch_after("duplicate_lines", HOUR))
    assert len(doubled) > len(set(doubled)) == LINES


def test_blank_lines_have_no_body() -> None:
    fake, batch = batch_after("blank_lines", HOUR)
    content = b"".join(fake.read_file(batch.output_file_id))
    codes = {json.loads(line)["response"]["status_code"] for line in content.splitlines()}
    assert codes == {0, 200}


def test_a_file_race_refuses_the_create_at_first() -> None:
    fake = fake_in_scenario("file_race")
    file = fake.upload_file(input_file(), filename="input.jsonl")
    with pytest.raises(Refused, match="Cannot find file"):
        fake.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
    fake.clock.sleep(1)
    assert fake.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions").id


def test_an_incident_fails_some_batches_and_not_others() -> None:
    fake = fake_in_scenario("incident")
    file = fake.upload_file(input_file(), filename="input.jsonl")
    ids = [
        fake.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions").id
        for _ in range(20)
    ]
    fake.clock.sleep(HOUR)
    assert {fake.retrieve_batch(each).status for each in ids} == {Status.COMPLETED, Status.FAILED}


@pytest.mark.parametrize("one", sorted(LEGAL))
def test_what_a_pipeline_must_survive_ends_whatever_else_happens(one) -> None:
    for other in LEGAL:
        fake = FakeBackend(scenario=f"{one},{other}")
        service = fake.undisturbed
        file = service.upload_file(input_file(), filename="input.jsonl")
        fake.clock.sleep(2)
        batch = service.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
        fake.clock.sleep(72 * HOUR)
        assert service.retrieve_batch(batch.id).status.is_terminal, f"{one},{other}"
