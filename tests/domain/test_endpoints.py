"""The endpoints, the models, and the limits."""

import pytest

from batchsim.domain.endpoints import ENDPOINTS, is_openai_model
from batchsim.domain.limits import DAY, ENQUEUED_TOKENS, HOUR, OPENAI


def test_there_are_the_eight_endpoints_of_the_api_reference():
    assert list(ENDPOINTS) == [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/videos",
    ]
    assert all(endpoint.path == path for path, endpoint in ENDPOINTS.items())


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o-mini",
        "gpt-3.5-turbo-0125",
        "gpt-9-whatever",
        "o1",
        "o4-mini",
        "ft:gpt-4o-mini:acme::abc",
        "text-embedding-3-small",
        "omni-moderation-latest",
        "sora-2",
    ],
)
def test_models_are_known_by_their_family(name):
    assert is_openai_model(name)


@pytest.mark.parametrize(
    "name", ["", "o", "oops", "o0", "mistral-large", " gpt-4o", "gpt-4o\u200b", "gpt-4o\n"]
)
def test_other_names_are_not_openai_models(name):
    assert not is_openai_model(name)


@pytest.mark.parametrize("name", ENQUEUED_TOKENS)
def test_every_model_with_a_token_limit_is_known(name):
    assert is_openai_model(name)
    assert ENQUEUED_TOKENS[name] > 0


def test_the_documented_limits():
    assert OPENAI.requests_per_batch == OPENAI.embedding_inputs_per_batch == 50_000
    assert OPENAI.input_file_bytes == 200_000_000
    assert (OPENAI.completion_window, OPENAI.file_lifetime) == (DAY, 30 * DAY)
    assert (OPENAI.shortest_file_lifetime, OPENAI.longest_file_lifetime) == (HOUR, 30 * DAY)
    metadata = (
        OPENAI.metadata_pairs,
        OPENAI.metadata_key_characters,
        OPENAI.metadata_value_characters,
    )
    assert metadata == (16, 64, 512)
    assert (OPENAI.default_batches_per_page, OPENAI.batches_per_page) == (20, 100)
    assert OPENAI.files_per_page == 10_000
    assert not OPENAI.enqueued_tokens
