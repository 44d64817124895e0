import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_estimate import (
    ATTACHMENT_TOKENS,
    estimate_each,
    estimate_prompt_tokens,
    estimate_tokens,
)
from tests.repository import ROOT

LICENSE = ROOT / "LICENSE"


def prompt_tokens(**body):
    return estimate_prompt_tokens(RequestLine(1, "a", "/v1/chat/completions", None, body))


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("What is the capital of France?", 7),
        (LICENSE.read_text("utf-8"), 223),
        ("あなたは英語翻訳者です。与えられらた文章の英訳のみを出力してください。", 25),
        ("OpenAIからバッチAPIがリリースされました。コストが半額になるよ！", 21),
        (
            (
                "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめ"
                "した所でニャーニャー泣いていた事だけは記憶している。"
            ),
            61,
        ),
        (
            "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
            35,
        ),
        ('{"type": "object", "properties": {"location": {"type": "string"}}}', 19),
    ],
    ids=["pangram", "question", "license", "system", "user", "novel", "Chinese", "JSON"],
)
def test_an_estimate_is_within_a_quarter_of_the_o200k_count(text, real):
    assert estimate_tokens(text) == pytest.approx(real, rel=0.25)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("é", 1), ("😀", 2), ("\ud800", 1), ("\0", 1)]
)
def test_short_texts_have_few_tokens(text, tokens):
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "x" * 44}]}, 3 + 3 + 10),
        ({"messages": [{"role": "user", "content": "x" * 44}] * 2}, 3 + 2 * (3 + 10)),
        ({"messages": [{"role": "user", "content": "x" * 44, "name": "x" * 22}]}, 3 + 3 + 10 + 5),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 44}]}]},
            3 + 3 + 3 + 10,
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            3 + 3 + 3 + ATTACHMENT_TOKENS,
        ),
        ({"input": "x" * 44}, 10),
        ({"input": ["x" * 44, "x" * 44]}, 20),
        ({"input": [7] * 9}, 9),
        ({"input": [[7] * 9, [7]]}, 10),
        ({"input": "x" * 44, "instructions": "x" * 22}, 15),
        ({"input": [{"role": "user", "content": "x" * 44}]}, 3 + 10),
        ({"prompt": "x" * 44}, 10),
        ({"prompt": "x" * 44, "images": [{"file_id": "file-abc"}]}, 10 + 3 + ATTACHMENT_TOKENS),
        ({"input": "a", "max_tokens": 99, "metadata": {"a": "x" * 44}}, 1),
    ],
    ids=str,
)
def test_a_prompt_counts_its_texts_tokens_and_attachments(body, tokens):
    assert prompt_tokens(**body) == tokens


def test_tools_count():
    tool = {"type": "function", "function": {"name": "weather", "description": "x" * 44}}
    assert prompt_tokens(input="a", tools=[tool]) > prompt_tokens(input="a") + 10


DEEP: list[object] = []
for _ in range(10_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value", [None, 3, 1.5, True, {}, [], [None], [[]], [{}], {"content": {"a": [1, "b"]}}, DEEP]
)
@pytest.mark.parametrize("name", ["messages", "input", "prompt", "tools", "images"])
def test_odd_bodies_never_raise(name, value):
    assert prompt_tokens(**{name: value}) >= 0


@given(st.lists(st.text()))
def test_texts_together_have_the_tokens_of_each(texts):
    assert estimate_each(texts) == [estimate_tokens(text) for text in texts]
