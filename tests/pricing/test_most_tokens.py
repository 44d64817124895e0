from contextlib import closing

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import VirtualClock
from batchsim.domain.lines import RequestLine
from batchsim.pricing.most_tokens import most_output_tokens

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


def output_bound(url, **body):
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
        (CHAT, {"max_tokens": 7, "n": 5.0}, None),
        (CHAT, {"max_tokens": 7, "n": "5"}, None),
        (CHAT, {"max_tokens": 7, "n": True}, None),
        (CHAT, {"max_tokens": 7, "n": [5]}, None),
        (CHAT, {"max_tokens": 7, "n": {}}, None),
        (CHAT, {"max_tokens": 7, "n": -1}, None),
        (CHAT, {"max_tokens": 7, "best_of": 5}, 35),
        (CHAT, {"max_tokens": 7, "best_of": 5.0}, None),
        (CHAT, {"max_tokens": 70, "max_completion_tokens": 7}, 70),
        (CHAT, {"max_tokens": 70.0, "max_completion_tokens": 7}, None),
        (RESPONSES, {"max_output_tokens": 7, "n": 3}, 21),
        (TEXT, {"prompt": "a", "max_tokens": 7, "best_of": 5.0}, None),
        (TEXT, {"prompt": "a", "max_tokens": 7, "n": 2, "best_of": "5"}, None),
        (TEXT, {"prompt": "a", "n": 5.0}, None),
        (TEXT, {"prompt": [1, "a", "b"], "max_tokens": 7}, 21),
        (TEXT, {"prompt": [1.0, 2.0], "max_tokens": 7}, 14),
        ("/v1/embeddings", {"input": "a"}, 0),
        ("/v1/moderations", {"input": "a"}, 0),
        ("/v1/images/generations", {"prompt": "a"}, None),
        ("/v1/videos", {"prompt": "a"}, None),
    ],
    ids=str,
)
def test_output_is_bounded_by_what_the_body_says(url, body, most):
    assert output_bound(url, **body) == most


LONG_TEXT = "word " * 200


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": LONG_TEXT}], "max_tokens": 9, "n": 3}),
        (CHAT, {"messages": [{"role": "user", "content": LONG_TEXT}], "max_completion_tokens": 9}),
        (TEXT, {"prompt": LONG_TEXT}),
        (TEXT, {"prompt": [LONG_TEXT, LONG_TEXT], "max_tokens": 9, "n": 2}),
        (RESPONSES, {"input": LONG_TEXT, "max_output_tokens": 20}),
        ("/v1/embeddings", {"input": LONG_TEXT}),
    ],
    ids=str,
)
def test_the_simulated_answer_uses_up_the_bound_and_no_more(url, body):
    with closing(FakeBackend(seed=1, clock=VirtualClock())) as fake:
        answer = fake.answer(url, {"model": "gpt-4o-mini", **body})
    assert answer.status_code == 200
    assert answer.usage.output_tokens == output_bound(url, **body)
