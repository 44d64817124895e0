"""Counting with vocabularies; and how far from it the estimate is, on text, Japanese and code."""

import pytest

from batchsim.domain.lines import RequestLine
from batchsim.pricing import token_counter
from batchsim.pricing.token_counter import counter_for, vocabulary_of
from batchsim.pricing.token_estimate import estimate_prompt_tokens, estimate_tokens
from tests.repository import ROOT

# The messages of the OpenAI cookbook's "How to count tokens with tiktoken", for which it shows the
# usage that the API reported: 129 prompt tokens for gpt-3.5-turbo and gpt-4, 124 for gpt-4o.
MESSAGES = [
    (
        "system",
        None,
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    ("system", "example_user", "New synergies will help drive top-line growth."),
    ("system", "example_assistant", "Things working well together will increase revenue."),
    (
        "system",
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    (
        "system",
        "example_assistant",
        "Let's talk later when we're less busy about how to do better.",
    ),
    (
        "user",
        None,
        "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    ),
]

ENGLISH = """\
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to
do: once or twice she had peeped into the book her sister was reading, but it had no pictures or
conversations in it, "and what is the use of a book," thought Alice "without pictures or
conversations?" So she was considering in her own mind (as well as she could, for the hot day made
her feel very sleepy and stupid), whether the pleasure of making a daisy-chain would be worth the
trouble of getting up and picking the daisies, when suddenly a White Rabbit with pink eyes ran close
by her. There was nothing so very remarkable in that; nor did Alice think it so very much out of the
way to hear the Rabbit say to itself, "Oh dear! Oh dear! I shall be late!"
"""

JAPANESE = """\
吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所でニャーニャー泣いて
いた事だけは記憶している。吾輩はここで始めて人間というものを見た。しかもあとで聞くとそれは書生という人間中で一番
獰悪な種族であったそうだ。この書生というのは時々我々を捕えて煮て食うという話である。しかしその当時は何という考も
なかったから別段恐しいとも思わなかった。ただ彼の掌に載せられてスーと持ち上げられた時何だかフワフワした感じがあっ
たばかりである。バッチAPIは、まとめて送られたリクエストを24時間以内に処理し、料金は通常の半額になります。
"""


def request(model="gpt-4o", url="/v1/chat/completions", **body):
    return RequestLine(1, "a", url, model, body)


def chat(messages):
    fields = [{"role": role, "content": text, "name": name} for role, name, text in messages]
    return [{key: value for key, value in each.items() if value} for each in fields]


@pytest.mark.parametrize(
    ("model", "reported"),
    [("gpt-3.5-turbo", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini-2024-07-18", 124)],
)
def test_a_chat_counts_what_the_api_reported(model, reported):
    asked = request(model, messages=chat(MESSAGES))
    assert counter_for(model).count(asked) == reported


def test_texts_count_exactly_at_other_endpoints():
    count = counter_for("text-embedding-3-small").count
    text = "tiktoken is great!"  # the cookbook's example: 6 tokens in cl100k_base
    assert count(request(input=text)) == 6
    assert count(request(input=[text, text])) == 12
    assert count(request(input=[1, 2, 3])) == 3


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-5", "o200k_base"),
        ("gpt-5-nano-2025-08-07", "o200k_base"),
        ("gpt-5.1", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:acme::id", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme", "cl100k_base"),
        ("text-embedding-3-large", "cl100k_base"),
        ("gpt-6-luna", None),
        ("gpt-50", None),
        ("o30", None),
        ("llama-3.3-70b", None),
        ("", None),
    ],
)
def test_the_vocabulary_is_the_familys(model, vocabulary):
    assert vocabulary_of(model) == vocabulary
    assert counter_for(model).vocabulary == vocabulary


def test_a_text_that_utf_8_cannot_carry_counts_all_the_same():
    assert counter_for("gpt-4o").count(request(input="a\ud800b")) > 0


def test_without_the_vocabularies_the_estimate_says_that_it_is_one(monkeypatch):
    monkeypatch.setattr(token_counter, "has_vocabularies", lambda: False)
    counter = counter_for("gpt-4o")
    asked = request(messages=chat(MESSAGES))
    assert counter.vocabulary is None
    assert counter.count(asked) == estimate_prompt_tokens(asked)


def code():
    folder = ROOT / "batchsim" / "domain"
    return "".join(path.read_text("utf-8") for path in sorted(folder.glob("*.py")))


@pytest.mark.parametrize(
    ("text", "model", "most"),
    [
        (ENGLISH, "gpt-4o", 0.15),
        (JAPANESE, "gpt-4o", 0.15),
        (code(), "gpt-4o", 0.15),
        (ENGLISH, "gpt-4", 0.15),
        (JAPANESE, "gpt-4", 0.35),  # cl100k has fewer Japanese words
        (code(), "gpt-4", 0.15),
    ],
    ids=["English", "Japanese", "code", "English-cl100k", "Japanese-cl100k", "code-cl100k"],
)
def test_the_estimate_is_near_the_exact_count(text, model, most):
    exact = counter_for(model).count(request(input=text))
    assert estimate_tokens(text) == pytest.approx(exact, rel=most)
