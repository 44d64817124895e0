"""Rows of the checklist about creating a batch."""

import dataclasses
import re

import pytest

from batchsim.domain.batches import RequestCounts, Usage
from batchsim.domain.limits import OPENAI
from batchsim.errors import NotFound, RateLimited, Refused

CHAT = "/v1/chat/completions"


def create(someone, file_id="file-1", **options):
    return someone.backend.create_batch(**{"input_file_id": file_id, "endpoint": CHAT, **options})


def test_row_020_creating_twice_makes_two_batches(user, chats):
    someone = user()
    file = someone.upload(chats(1))
    assert create(someone, file.id).id != create(someone, file.id).id
    assert len(someone.backend.list_batches().data) == 2


def test_row_054_a_new_batch_has_all_keys_with_nulls(user, chats):
    someone = user()
    batch = someone.start(chats(1))
    now = int(someone.backend.clock.now())
    assert batch.to_object() == {
        "id": batch.id,
        "object": "batch",
        "endpoint": CHAT,
        "model": None,
        "errors": None,
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "in_progress_at": None,
        "expires_at": now + 86_400,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": {
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        "metadata": None,
    }


@pytest.mark.parametrize("pacing", ["today", "2025", "2024", "quick", "instant"])
def test_row_055_a_new_batch_is_validating_and_empty(user, chats, pacing):
    batch = user(pacing=pacing).start(chats(2), metadata={"a": "b"})
    assert batch.status == "validating"
    assert batch.request_counts == RequestCounts()
    assert batch.usage == Usage()
    assert batch.model is None
    assert batch.metadata == {"a": "b"}


def test_row_056_a_batch_expires_a_day_after_its_creation(user, chats):
    batch = user().start(chats(1))
    assert batch.expires_at == batch.created_at + 86_400


def test_row_057_a_batch_id_is_a_uuid8_that_begins_with_the_creation_time(user, chats):
    someone = user()
    batches = []
    for _ in range(30):
        someone.backend.clock.sleep(0.77)
        batches.append(someone.start(chats(1)))
    assert len({batch.id for batch in batches}) == 30
    for batch in batches:
        match = re.fullmatch(r"batch_([0-9a-f]{8})([0-9a-f]{4})8190[89ab][0-9a-f]{15}", batch.id)
        assert match
        assert int(match[1], 16) == batch.created_at
        assert int(match[2], 16) & 3 == 0


def test_row_058_an_unknown_endpoint_is_refused(user):
    with pytest.raises(Refused) as refused:
        create(user(), endpoint="/v1/invalid")
    error = refused.value
    assert (error.status, error.param, error.code) == (400, "endpoint", "invalid_value")
    assert error.message == (
        "Invalid value: '/v1/invalid'. Supported values are: '/v1/chat/completions', "
        "'/v1/completions', '/v1/embeddings', '/v1/responses', '/v1/moderations', "
        "'/v1/images/generations', '/v1/images/edits', and '/v1/videos'."
    )


@pytest.mark.parametrize("endpoint", ["", f"{CHAT}/", "/v1/CHAT/completions"])
def test_row_058_an_endpoint_is_taken_literally(user, endpoint):
    with pytest.raises(Refused, match="Supported values are"):
        create(user(), endpoint=endpoint)


@pytest.mark.parametrize("window", ["1h", "48h", "24H", ""])
def test_row_059_another_completion_window_is_refused(user, window):
    with pytest.raises(
        Refused, match=f"Invalid value: '{window}'. Value must be '24h'."
    ) as refused:
        create(user(), completion_window=window)
    assert (refused.value.param, refused.value.code) == ("completion_window", "invalid_value")


@pytest.mark.parametrize("file_id", ["wrong-id", "", "batch_1", "File-1", "file"])
def test_row_060_an_input_file_id_with_another_prefix_is_refused(user, file_id):
    with pytest.raises(Refused) as refused:
        create(user(), file_id)
    error = refused.value
    assert (error.status, error.param, error.code) == (400, "input_file_id", "invalid_value")
    assert error.message == (
        f"Invalid 'input_file_id': '{file_id}'. Expected an ID that begins with 'file'."
    )


def test_row_061_a_file_that_does_not_exist_fails_the_batch_later(user):
    someone = user()
    batch = create(someone, "file-unknown")
    assert batch.status == "validating"
    batch = someone.look(batch, after=100)
    assert batch.status == "failed"
    assert [(error.code, error.param, error.line) for error in batch.errors] == [
        ("invalid_request", "file_id", None)
    ]


@pytest.mark.parametrize("value", ["x" * 512, "😀" * 512, "", "__proto__"])
def test_row_063_metadata_is_echoed(user, chats, value):
    someone = user()
    metadata = {"k" * 64: value, "": "empty", **{str(n): "" for n in range(14)}}
    batch = someone.start(chats(1), metadata=metadata)
    assert someone.look(batch).metadata == metadata
    assert someone.start(chats(1), metadata={}).metadata == {}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["a"], "an array"),
        (1, "an integer"),
        (1.5, "a decimal number"),
        (True, "a boolean"),
        (None, "null"),
        ({}, "an object"),
    ],
)
def test_row_063_a_metadata_value_that_is_no_string_is_refused(user, value, kind):
    with pytest.raises(Refused) as refused:
        create(user(), metadata={"tags": value})
    error = refused.value
    assert (error.status, error.param, error.code) == (400, "metadata.tags", "invalid_type")
    assert error.message == (
        f"Invalid type for 'metadata.tags': expected a string, but got {kind} instead."
    )


@pytest.mark.parametrize(
    ("metadata", "param", "code"),
    [
        ({str(n): "" for n in range(17)}, "metadata", "object_above_max_properties"),
        ({"k" * 65: ""}, "metadata", "property_name_above_max_length"),
        ({"k": "v" * 513}, "metadata.k", "string_above_max_length"),
        (["a"], "metadata", "invalid_type"),
    ],
)
def test_row_064_metadata_beyond_the_limits_is_refused(user, metadata, param, code):
    someone = user()
    with pytest.raises(Refused) as refused:
        create(someone, metadata=metadata)
    error = refused.value
    assert (error.status, error.param, error.code) == (400, param, code)
    assert someone.backend.list_batches().data == ()


@pytest.mark.parametrize("name", ["input_file_id", "endpoint", "completion_window"])
def test_row_065_a_missing_or_mistyped_parameter_is_refused(user, name):
    with pytest.raises(Refused) as refused:
        create(user(), **{name: None})
    assert refused.value.message == f"Missing required parameter: '{name}'."
    assert (refused.value.param, refused.value.code) == (name, "missing_required_parameter")
    with pytest.raises(Refused) as refused:
        create(user(), **{name: 24})
    assert (refused.value.param, refused.value.code) == (name, "invalid_type")


def test_row_066_the_lifetime_of_results_counts_from_their_own_creation(user, chats):
    someone = user()
    batch = someone.start(chats(2), output_expires_after=7_200)
    assert "output_expires_after" not in batch.to_object()
    batch = someone.look(batch, after=600)
    file = someone.backend.retrieve_file(batch.output_file_id)
    assert file.created_at == batch.completed_at > batch.created_at
    assert file.expires_at == file.created_at + 7_200
    someone.backend.clock.sleep(7_200)
    with pytest.raises(NotFound):
        someone.backend.retrieve_file(batch.output_file_id)


@pytest.mark.parametrize("seconds", [3_599, 2_592_001, 3_600.0])
def test_row_067_a_lifetime_of_results_out_of_range_is_refused(user, seconds):
    with pytest.raises(Refused) as refused:
        create(user(), output_expires_after=seconds)
    assert refused.value.param == "output_expires_after.seconds"


def test_row_068_the_2001st_batch_in_an_hour_is_rate_limited(user, chats):
    someone = user(limits=dataclasses.replace(OPENAI, batches_per_hour=2))
    someone.start(chats(1))
    someone.backend.clock.sleep(600)
    someone.start(chats(1))
    with pytest.raises(RateLimited) as refused:
        someone.start(chats(1))
    assert (refused.value.status, refused.value.retry_after) == (429, 3_000)
    someone.backend.clock.sleep(3_000)
    someone.start(chats(1))
    assert OPENAI.batches_per_hour == 2_000


def test_row_069_two_batches_share_an_input_file(user, chats):
    someone = user()
    file = someone.upload(chats(3))
    batches = [create(someone, file.id) for _ in range(2)]
    batches = [someone.look(batch, after=1_000) for batch in batches]
    outputs = [someone.results(batch.output_file_id) for batch in batches]
    assert [len(each) for each in outputs] == [3, 3]
    assert batches[0].output_file_id != batches[1].output_file_id


def test_row_070_a_new_batch_is_visible_at_once(user, chats):
    someone = user()
    batch = someone.start(chats(1))
    assert someone.look(batch) == batch
    assert someone.backend.list_batches().data == (batch,)


def test_an_input_file_of_another_purpose_is_refused(user, chats):
    someone = user()
    file = someone.upload(chats(1), purpose="user_data")
    with pytest.raises(Refused) as refused:
        create(someone, file.id)
    assert (refused.value.status, refused.value.param) == (400, "input_file_id")


def test_an_output_file_is_no_input_file(user, chats):
    someone = user()
    batch = someone.finish(chats(1))
    with pytest.raises(Refused, match="purpose 'batch_output'"):
        create(someone, batch.output_file_id)
