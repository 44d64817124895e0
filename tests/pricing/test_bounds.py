import pytest

from batchsim.domain.lines import RequestLine
from batchsim.pricing.bounds import most_output_tokens

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


def bound(url, **body):
    return most_output_tokens(RequestLine(1, "a", url, "gpt-4o-mini", body))


@pytest.mark.parametrize(
    ("url", "body", "most"),
    [
        (CHAT, {}, None),
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_completion_tokens": 7}, 7),
        (CHAT, {"max_completion_tokens": None, "max_tokens": 7}, 7),
        (CHAT, {"max_tokens": 7, "n": 3}, 21),
        (CHAT, {"max_tokens": 7, "n": None}, 7),
        (CHAT, {"max_tokens": 0}, 0),
        (CHAT, {"max_output_tokens": 7}, None),
        (CHAT, {"max_tokens": "7"}, None),
        (CHAT, {"max_tokens": True}, None),
        (CHAT, {"max_tokens": 7.0}, None),
        (CHAT, {"max_tokens": -7}, None),
        (CHAT, {"n": 3}, None),
        (RESPONSES, {"input": "a"}, None),
        (RESPONSES, {"max_output_tokens": 7}, 7),
        (RESPONSES, {"max_tokens": 7}, None),
        (TEXT, {"prompt": "a"}, 16),
        (TEXT, {"prompt": "a", "max_tokens": 7}, 7),
        (TEXT, {"prompt": ["a", "b"], "max_tokens": 7}, 14),
        (TEXT, {"prompt": [1, 2, 3], "max_tokens": 7}, 7),
        (TEXT, {"prompt": [[1], [2]], "max_tokens": 7, "n": 2}, 28),
        (TEXT, {"prompt": "a", "max_tokens": 7, "n": 2, "best_of": 5}, 35),
        (TEXT, {"prompt": [], "max_tokens": 7}, 7),
        ("/v1/embeddings", {"input": "a"}, 0),
        ("/v1/moderations", {"input": "a"}, 0),
        ("/v1/images/generations", {"prompt": "a"}, None),
        ("/v1/videos", {"prompt": "a"}, None),
    ],
    ids=str,
)
def test_output_is_bounded_by_what_the_body_says(url, body, most):
    assert bound(url, **body) == most
