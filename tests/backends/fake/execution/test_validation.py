"""Rows of the checklist about validation, as a batch shows it; the rules themselves are the
domain's.
"""

import dataclasses

import pytest

from batchsim.backends.fake import Faults, Pacing
from batchsim.domain.limits import OPENAI

STEADY = Pacing(validating=60, running=100, finalizing=10, spread=0)
MODEL = "gpt-4o-mini"


def validation_errors(batch):
    assert batch.status == "failed"
    return [(error.code, error.param, error.line) for error in batch.errors]


def limit_of_queue(tokens):
    return dataclasses.replace(OPENAI, enqueued_tokens={MODEL: tokens})


def test_row_106_errors_are_a_list_object(user):
    assert user().finish(b"[]\n").to_object()["errors"] == {
        "object": "list",
        "data": [
            {
                "code": "invalid_json_line",
                "message": "This line is not parseable as valid JSON.",
                "param": None,
                "line": 1,
            }
        ],
    }


def test_row_108_a_byte_order_mark_spoils_line_1(user, chats):
    assert validation_errors(user().finish(b"\xef\xbb\xbf" + chats(2))) == [
        ("invalid_json_line", None, 1)
    ]


@pytest.mark.parametrize("key", ["custom_id", "method", "url", "body"])
def test_row_109_a_missing_key_is_named(user, line, jsonl, key):
    request = line("a")
    del request[key]
    assert validation_errors(user().finish(jsonl([request]))) == [
        ("missing_required_parameter", key, 1)
    ]


def test_rows_107_110_112_115_116_errors_are_sorted_by_line(user, line, jsonl):
    lines = [
        line("a"),
        {**line("b"), "url": "/v1/embeddings"},
        line("a"),
        line("d", stream=True),
        7,
    ]
    assert validation_errors(user().finish(jsonl(lines))) == [
        ("invalid_url", "url", 2),
        ("duplicate_custom_id", "custom_id", 3),
        ("streaming_unsupported", "body.stream", 4),
        ("invalid_json_line", None, 5),
    ]


def test_row_111_one_bad_line_of_many_fails_the_batch_and_runs_none(user, chats):
    asked = []
    someone = user(responder=asked.append)
    assert validation_errors(someone.finish(chats(2_000) + b"nonsense\n")) == [
        ("invalid_json_line", None, 2_001)
    ]
    assert asked == []


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"model": "claude-9"}, ("model_not_found", "body.model", 2)),
        ({"model": "gpt-4o"}, ("mismatched_model", "body.model", 2)),
        ({"model": None}, ("missing_required_parameter", "body.model", 2)),
        ({"messages": None}, ("missing_required_parameter", "body.messages", 2)),
    ],
    ids=["row_113", "row_114", "row_117 model", "row_117 messages"],
)
def test_rows_113_114_117_a_body_is_checked(user, line, jsonl, second, error):
    assert validation_errors(user().finish(jsonl([line("a"), line("b", **second)]))) == [error]


def test_row_118_a_missing_file_is_an_error_without_line(user, chats):
    someone = user()
    batch = someone.start(chats(1))
    someone.backend.delete_file(batch.input_file_id)
    assert validation_errors(someone.look(batch, after=100)) == [
        ("invalid_request", "file_id", None)
    ]


def test_row_119_too_many_enqueued_tokens_fail_the_batch(user, chats):
    someone = user(limits=limit_of_queue(1_000), organization="org-1")
    batch = someone.finish(chats(1_000))
    assert validation_errors(batch) == [("token_limit_exceeded", None, None)]
    assert batch.errors[0].message == (
        "Enqueued token limit reached for gpt-4o-mini in organization org-1. "
        "Limit: 1,000 enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )


def test_row_119_lines_are_checked_before_tokens(user, chats):
    batch = user(limits=limit_of_queue(1)).finish(chats(10) + b"x\n")
    assert validation_errors(batch) == [("invalid_json_line", None, 11)]


def test_row_119_other_models_have_queues_of_their_own(user, chats):
    someone = user(limits=limit_of_queue(1))
    assert someone.finish(chats(10, model="gpt-4o")).status == "completed"


def test_row_119_a_snapshot_shares_the_queue_of_its_alias(user, chats):
    someone = user(limits=limit_of_queue(1))
    assert someone.finish(chats(10, model="gpt-4o-mini-2024-07-18")).status == "failed"


@pytest.mark.parametrize("ending", ["completed", "cancelled", "expired"])
def test_row_120_tokens_are_released_when_a_batch_ends(user, chats, ending):
    running = float("inf") if ending == "expired" else 100
    someone = user(limits=limit_of_queue(150), pacing=dataclasses.replace(STEADY, running=running))
    first = someone.look(someone.start(chats(10)), after=61)
    second = someone.look(someone.start(chats(10)), after=61)
    assert (first.status, second.status) == ("in_progress", "failed")
    if ending == "cancelled":
        someone.backend.cancel_batch(first.id)
    first = someone.look(first, after=86_400)
    assert first.status == ending
    assert someone.look(someone.start(chats(10)), after=61).status == "in_progress"


def test_row_120_tokens_may_be_held_for_a_while_after_the_end(user, chats):
    someone = user(limits=limit_of_queue(150), pacing=STEADY, faults=Faults(tokens_held_for=300))
    first = someone.start(chats(10))
    assert someone.look(first, after=175).status == "completed"
    refused = someone.look(someone.start(chats(10)), after=100)
    assert refused.failed_at == first.created_at + 235
    someone.backend.clock.sleep(140)
    # At 475 s the first batch's tokens are free again, those of the refused one are not.
    assert someone.look(someone.start(chats(10)), after=61).status == "failed"
    someone.backend.clock.sleep(300)
    assert someone.look(someone.start(chats(10)), after=61).status == "in_progress"


def test_tokens_are_accounted_in_due_order_whoever_looks(user, chats):
    someone = user(limits=limit_of_queue(150), pacing=STEADY)
    batches = []
    for _ in range(3):
        batches.append(someone.start(chats(10)))
        someone.backend.clock.sleep(1)
    later = [someone.look(batch, after=0 if i else 600) for i, batch in enumerate(batches[::-1])]
    assert [batch.status for batch in later] == ["failed", "failed", "completed"]


def test_row_121_more_lines_than_allowed_fail_the_batch(user, chats):
    someone = user(limits=dataclasses.replace(OPENAI, requests_per_batch=5))
    assert someone.finish(chats(5)).status == "completed"
    assert validation_errors(someone.finish(chats(6))) == [("too_many_tasks", None, None)]
    assert OPENAI.requests_per_batch == 50_000


def test_row_122_more_embedding_inputs_than_allowed_fail_the_batch(user, jsonl):
    def line(custom_id, inputs):
        body = {"model": "text-embedding-3-small", "input": ["x"] * inputs}
        return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}

    someone = user(limits=dataclasses.replace(OPENAI, embedding_inputs_per_batch=5))
    batch = someone.finish(jsonl([line("a", 2), line("b", 3)]), endpoint="/v1/embeddings")
    assert batch.status == "completed"
    batch = someone.finish(jsonl([line("a", 2), line("b", 4)]), endpoint="/v1/embeddings")
    assert validation_errors(batch) == [("too_many_inputs", None, None)]


def test_row_123_a_bad_value_in_a_body_fails_its_line_only(user, line, jsonl):
    someone = user()
    batch = someone.finish(jsonl([line("a"), line("b", temperature=999)]))
    assert (batch.status, batch.request_counts.failed) == ("completed", 1)
    (failed,) = someone.results(batch.error_file_id)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 400)


def test_row_124_in_an_incident_an_existing_file_cannot_be_found(user, chats):
    someone = user(faults=Faults(incident=1))
    batch = someone.finish(chats(1))
    assert validation_errors(batch) == [("invalid_request", "file_id", None)]
    assert someone.backend.retrieve_file(batch.input_file_id)


def test_row_124_in_half_an_incident_another_batch_over_the_file_may_pass(user, chats):
    someone = user(faults=Faults(incident=0.5))
    file = someone.upload(chats(1))
    batches = [
        someone.backend.create_batch(input_file_id=file.id, endpoint="/v1/chat/completions")
        for _ in range(40)
    ]
    someone.backend.clock.sleep(1_000)
    statuses = [someone.look(batch).status for batch in batches]
    assert 10 <= statuses.count("failed") <= 30


def test_a_batch_lists_so_many_errors_and_no_more(user):
    batch = user().finish(b"{}\n" * 1_000)
    assert [error.line for error in batch.errors] == list(range(1, 101))


def test_blank_lines_at_the_end_are_left_out(user, chats):
    someone = user()
    batch = someone.finish(chats(3) + b"\n \r\n\n")
    assert (batch.status, batch.request_counts.completed) == ("completed", 3)


def test_windows_line_ends_and_a_missing_last_newline_do_no_harm(user, chats):
    batch = user().finish(chats(3).replace(b"\n", b"\r\n").rstrip())
    assert (batch.status, batch.request_counts.completed) == ("completed", 3)


def test_models_may_be_anything_that_is_supported(user, chats):
    batch = user(supports=lambda model: model == "llama").finish(chats(1, model="llama"))
    assert (batch.status, batch.model) == ("completed", "llama")


def test_a_line_longer_than_the_limit_is_invalid(user, chats):
    limits = dataclasses.replace(OPENAI, line_bytes=10_000)
    batch = user(limits=limits).finish(chats(1) + b'"' + b"x" * 2_000_000 + b'"\n')
    assert validation_errors(batch) == [("invalid_json_line", None, 2)]
