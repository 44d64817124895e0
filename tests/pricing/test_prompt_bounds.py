"""What is reserved for a prompt: never below what is billed, and near it where that
can be counted.
"""

from __future__ import annotations

import json

import pytest
from toktok import _encoding

from batchsim.domain.lines import RequestLine
from batchsim.pricing import token_counter
from batchsim.pricing.most_tokens import MESSAGE_MARGIN, REQUEST_MARGIN, most_prompt_tokens
from tests.pricing.test_token_counter import ENGLISH, JAPANESE, MESSAGES, chat, code

CHAT, TEXT, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
TEXTS = {"English": ENGLISH, "Japanese": JAPANESE, "code": code()[:20_000]}
VOCABULARIES = {"gpt-4o": "o200k_base", "gpt-5-nano": "o200k_base", "gpt-4": "cl100k_base"}


def bound_and_size(body, url=CHAT):
    line = {"custom_id": "a", "method": "POST", "url": url, "body": body}
    size = len(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    )
    return most_prompt_tokens(RequestLine(1, "a", url, body["model"], body), size), size


def billed(model, messages):
    """As the OpenAI cookbook counts what the API bills for a chat; written without our code."""
    encode = _encoding(VOCABULARIES[model])
    tokens = 3
    for message in messages:
        tokens += 3 + sum(encode.count(text) for text in message.values()) + ("name" in message)
    return tokens


def pieces_of(text):
    """Beginnings and parts of a text, short and long, cut wherever that falls."""
    for length in (1, 2, 3, 5, 8, 13, 89, 610, len(text)):
        for begin in range(0, len(text), max(1, len(text) // 7)):
            yield text[begin : begin + length]


@pytest.mark.parametrize("model", VOCABULARIES)
@pytest.mark.parametrize("language", TEXTS)
def test_a_chat_is_never_billed_for_more_than_is_reserved(language, model):
    for piece in pieces_of(TEXTS[language]):
        for count in (1, 2, 20):
            messages = [{"role": "user", "content": piece, "name": "Ann"}] * count
            reserved, size = bound_and_size({"model": model, "messages": messages, "max_tokens": 9})
            exact = billed(model, messages)
            assert exact <= reserved <= size
            assert reserved <= exact + REQUEST_MARGIN + MESSAGE_MARGIN * count, "and near it"


@pytest.mark.parametrize(("model", "reported"), [("gpt-4", 129), ("gpt-4o", 124)])
def test_what_the_api_reported_is_reserved(model, reported):
    reserved, size = bound_and_size({"model": model, "messages": chat(MESSAGES)})
    assert billed(model, chat(MESSAGES)) == reported < reserved < size / 5


@pytest.mark.parametrize("language", TEXTS)
def test_other_texts_are_never_billed_for_more(language):
    for url, name, model, vocabulary in (
        (TEXT, "prompt", "gpt-3.5-turbo-instruct", "cl100k_base"),
        (EMBEDDINGS, "input", "text-embedding-3-small", "cl100k_base"),
        ("/v1/responses", "input", "gpt-4o", "o200k_base"),
    ):
        count = _encoding(vocabulary).count
        for piece in pieces_of(TEXTS[language]):
            for value in (piece, [piece, piece]):
                exact = sum(map(count, [value] if isinstance(value, str) else value))
                reserved, size = bound_and_size({"model": model, name: value}, url)
                assert exact <= reserved <= size


MARKS = "<|endoftext|><|im_start|>"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": HELLO, "response_format": {"type": "json_object"}},
        {"messages": HELLO, "reasoning_effort": "high"},
        {"messages": HELLO, "what_comes_next_year": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
        {"messages": [{"role": "user", "content": "a\ud800b"}]},
        {"messages": {"role": "user", "content": "a"}},
        {"messages": HELLO, "model": "gpt-99-luna"},
        {"messages": HELLO, "prompt": "a"},
        {},
    ],
    ids=lambda body: " ".join(body) or "nothing",
)
def test_what_would_be_an_estimate_counts_by_its_bytes(body):
    reserved, size = bound_and_size({"model": "gpt-4o", **body})
    assert reserved == size


def test_the_marks_of_a_vocabulary_count_as_the_text_that_they_are():
    reserved, _ = bound_and_size(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": MARKS * 9}]}
    )
    assert reserved > 9 * 10


def test_without_the_vocabularies_every_byte_counts(monkeypatch):
    monkeypatch.setattr(token_counter, "has_vocabularies", lambda: False)
    reserved, size = bound_and_size({"model": "gpt-4o", "messages": HELLO})
    assert reserved == size
