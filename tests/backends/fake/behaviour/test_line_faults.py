"""Which lines and batches a fault hits, and what then stands in the files."""

import json

import pytest

from batchsim.backends.fake import BatchFault, FakeBackend, Faults, LineFault
from batchsim.errors import OutcomeUnknown, Refused, UsageError

CHAT = "/v1/chat/completions"


def faults_of_lines(*faults):
    return Faults(lines=faults)


def status_codes(results):
    return {each["custom_id"]: (each["response"] or {}).get("status_code") for each in results}


def finish_with_faults(user, chats, count, faults, **options):
    someone = user(faults=faults, order="input", **options)
    batch = someone.finish(chats(count))
    return someone, batch


@pytest.mark.parametrize(
    "fault",
    [
        LineFault("error", custom_id="request-2", status=404),
        LineFault("error", line=2, status=404),
        LineFault("error", line=2, batch=1, status=404),
    ],
)
def test_one_line_by_its_custom_id_or_its_number(user, chats, fault):
    someone, batch = finish_with_faults(user, chats, 3, faults_of_lines(fault))
    assert status_codes(someone.results(batch.output_file_id)) == {
        "request-1": 200,
        "request-3": 200,
    }
    assert status_codes(someone.results(batch.error_file_id)) == {"request-2": 404}
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)


def test_an_error_has_the_words_that_it_was_given(user, chats):
    fault = LineFault("error", line=1, status=400, message="No.", code="content_policy_violation")
    someone, batch = finish_with_faults(user, chats, 1, faults_of_lines(fault))
    (result,) = someone.results(batch.error_file_id)
    assert result["error"] is None
    assert result["response"]["body"]["error"] == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": None,
        "code": "content_policy_violation",
    }


def test_a_line_of_another_batch_is_left_alone(user, chats):
    someone = user(faults=faults_of_lines(LineFault("error", batch=(2, 3))))
    ended = [someone.finish(chats(1)).request_counts.failed for _ in range(4)]
    assert ended == [0, 1, 1, 0]


def test_a_line_that_timed_out_has_no_response(user, chats):
    someone, batch = finish_with_faults(
        user, chats, 2, faults_of_lines(LineFault("timed_out", line=1))
    )
    (result,) = someone.results(batch.error_file_id)
    assert (result["response"], result["error"]["code"]) == (None, "request_timeout")
    assert batch.request_counts.failed == 1


@pytest.mark.parametrize(
    ("fault", "outputs", "errors"),
    [
        ("missing", ["request-2"], []),
        ("doubled", ["request-1", "request-1", "request-2"], []),
        ("foreign", ["request-1-0-not-asked-for", "request-1", "request-2"], []),
        ("in_both", ["request-1", "request-2"], ["request-1"]),
    ],
)
def test_what_the_files_hold(user, chats, fault, outputs, errors):
    someone, batch = finish_with_faults(user, chats, 2, faults_of_lines(LineFault(fault, line=1)))
    assert [each["custom_id"] for each in someone.results(batch.output_file_id)] == outputs
    assert [each["custom_id"] for each in someone.results(batch.error_file_id)] == errors
    assert batch.request_counts.completed == 2


def test_a_cut_line_is_no_json_and_the_next_is_whole(user, chats):
    someone, batch = finish_with_faults(user, chats, 2, faults_of_lines(LineFault("cut", line=1)))
    first, second = someone.read(batch.output_file_id).splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(first)
    assert json.loads(second)["custom_id"] == "request-2"


@pytest.mark.parametrize("endpoint", [CHAT, "/v1/responses", "/v1/completions"])
def test_an_incomplete_answer_and_a_refusal_at_every_endpoint_that_speaks(
    user, jsonl, line, endpoint
):
    told = {CHAT: {}, "/v1/responses": {"input": "x"}, "/v1/completions": {"prompt": "x"}}[endpoint]
    model = "gpt-3.5-turbo-instruct" if endpoint == "/v1/completions" else "gpt-4o-mini"
    lines = [{**line(name), "url": endpoint} for name in ("a", "b")]
    if endpoint != CHAT:
        for each in lines:
            each["body"] = {"model": model, **told}
    plan = faults_of_lines(
        LineFault("incomplete", custom_id="a"), LineFault("refusal", custom_id="b")
    )
    someone = user(faults=plan, order="input")
    batch = someone.finish(jsonl(lines), endpoint=endpoint)
    cut, declined = (each["response"]["body"] for each in someone.results(batch.output_file_id))
    if endpoint == "/v1/responses":
        assert (cut["status"], cut["incomplete_details"]["reason"]) == (
            "incomplete",
            "max_output_tokens",
        )
        assert declined["output"][-1]["content"][0]["type"] == "refusal"
        return
    assert cut["choices"][0]["finish_reason"] == "length"
    if endpoint == CHAT:
        assert declined["choices"][0]["message"]["content"] is None
        assert declined["choices"][0]["message"]["refusal"]


def test_one_more_line_changes_no_other_lines_fate(user, chats):
    def hit(count):
        someone, batch = finish_with_faults(
            user, chats, count, faults_of_lines(LineFault("error", share=0.3))
        )
        return set(status_codes(someone.results(batch.error_file_id)))

    few, more = hit(20), hit(30)
    assert few == {each for each in more if int(each.removeprefix("request-")) <= 20}
    assert 0 < len(few) < 20


def test_some_batches_live_in_another_scenario(user, chats):
    plan = Faults(batches=(BatchFault("all_failed", nth=2), BatchFault("stuck_validating", nth=3)))
    someone = user(faults=plan)
    ended = [someone.finish(chats(1)) for _ in range(4)]
    assert [each.request_counts.failed for each in ended] == [0, 1, 0, 0]
    assert [each.status for each in ended] == ["completed", "completed", "expired", "completed"]


def test_a_share_of_the_batches_does(user, chats):
    someone = user(faults=Faults(batches=(BatchFault("all_failed", share=0.5),)))
    failed = [someone.finish(chats(1)).request_counts.failed for _ in range(20)]
    assert 4 < sum(failed) < 16


@pytest.mark.parametrize("fault", ["all_failed", "token_limit,slow"])
def test_metadata_name_the_scenario_of_a_batch(user, chats, fault):
    someone = user()
    other = someone.start(chats(1))
    batch = someone.finish(chats(1), metadata={"batchsim.scenario": fault})
    assert someone.look(other).request_counts.failed == 0
    assert batch.metadata == {"batchsim.scenario": fault}
    assert batch.request_counts.failed == (fault == "all_failed")


def test_a_batch_of_its_own_scenario_outlives_a_restart(user, chats, store):
    someone = user(store=store)
    batch = someone.start(chats(1), metadata={"batchsim.scenario": "expired_empty"})
    again = FakeBackend(store=store)
    again.clock.sleep(2 * 86_400)
    assert again.retrieve_batch(batch.id).status == "expired"


def test_its_requests_go_wrong_and_no_others(user, chats):
    someone = user()
    someone.start(chats(1))
    with pytest.raises(OutcomeUnknown):
        someone.start(chats(1), metadata={"batchsim.scenario": "reply_lost"})
    someone.start(chats(1), metadata={"batchsim.scenario": "reply_lost"})
    assert len(someone.backend.list_batches().data) == 3


def test_its_downloads_are_cut_and_no_others(user, chats):
    someone = user()
    usual = someone.finish(chats(1))
    cut = someone.finish(chats(1), metadata={"batchsim.scenario": "truncated_download"})
    assert someone.read(usual.output_file_id)
    with pytest.raises(Exception, match="ended after"):
        someone.read(cut.output_file_id)
    assert someone.read(cut.output_file_id)


@pytest.mark.parametrize("named", ["sunshine", "", "slow,"])
def test_metadata_that_name_no_scenario_are_refused(user, chats, named):
    with pytest.raises(Refused, match="no scenario called") as refused:
        user().start(chats(1), metadata={"batchsim.scenario": named})
    assert refused.value.param == "metadata.batchsim.scenario"


def test_one_jump_leads_where_small_steps_do(chats):
    import io

    def ended(steps):
        fake = FakeBackend(scenario="cancelled_partial", faults=Faults(clock_ahead_by=40.5))
        file = fake.upload_file(io.BytesIO(chats(7)), filename="input.jsonl")
        batch = fake.create_batch(input_file_id=file.id, endpoint=CHAT)
        for _ in range(steps):
            fake.clock.sleep(9_000 / steps)
            fake.retrieve_batch(batch.id)
        return fake.retrieve_batch(batch.id)

    assert ended(1) == ended(100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LineFault("thunder"), "no line fault called 'thunder'"),
        (lambda: LineFault("missing", status=500), "'missing' has no 'status'"),
        (lambda: LineFault("error", status=99), "status cannot be 99"),
        (lambda: LineFault("error", line=0), "line cannot be 0"),
        (lambda: LineFault("error", batch=()), r"batch cannot be \(\)"),
        (lambda: LineFault("error", share=-1), "share cannot be -1"),
        (lambda: BatchFault("slow", nth=0), "nth cannot be 0"),
        (
            lambda: FakeBackend(faults=Faults(batches=(BatchFault("slo"),))),
            "no scenario called 'slo'",
        ),
        (lambda: FakeBackend(scenario="slow,"), "no scenario called ''"),
        (lambda: FakeBackend(scenario=5), "a scenario cannot be 5"),
    ],
)
def test_what_does_not_go_together_is_said(make, message):
    with pytest.raises(UsageError, match=message):
        make()
