"""Many conversations that are answered in one step get what each would get by itself."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.lines import RequestLines
from batchsim.responders import AnswerColumns, Occasion
from batchsim.responders.chat.answers import respond, respond_many
from batchsim.responders.simulated import simulated_many

URL = "/v1/chat/completions"


def lines_of(bodies, url=URL):
    count = len(bodies)
    custom_ids = [f"line-{number}" for number in range(count)]
    return RequestLines(7, 0, [b"{}"] * count, custom_ids, url, bodies[0].get("model"), bodies)


def chance(count):
    return b"".join(hashlib.blake2b(b"%d" % number).digest() for number in range(count))


def one_by_one(lines):
    count = len(lines.bodies)
    entropy = chance(count)
    occasions = [
        Occasion(1_767_225_600 + number, entropy[64 * number :][:64]) for number in range(count)
    ]
    return AnswerColumns.of(list(map(respond, lines.requests(), occasions)))


def together(lines, way=respond_many):
    count = len(lines.bodies)
    return way(lines, range(1_767_225_600, 1_767_225_600 + count), chance(count))


def says(text, role="user", **more):
    return {"role": role, "content": text, **more}


PLAIN = {
    "one message": {},
    "a limit": {"max_tokens": 300, "temperature": 0.2},
    "a model that thinks": {"model": "gpt-5-nano", "reasoning_effort": "low"},
    "tools": {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    "a model with a percent sign": {"model": "ft:gpt-4o-mini:%s%d"},
}


@pytest.mark.parametrize("parameters", PLAIN.values(), ids=PLAIN)
def test_plain_conversations_are_answered_in_one_step(parameters):
    texts = [
        "Hello",
        "\u00e9t\u00e9 \U0001f622",
        "two\nlines",
        "x" * 90,
        '"quoted" \\',
        "100%",
        "w " * 4_000,
    ]
    conversations = [
        [says(text, "system"), says(f"{number}"), says(f"{text}!", "assistant"), says(text)][-size:]
        for number, text in enumerate(texts)
        for size in (1, 2, 3, 4)
    ]
    bodies = [{"model": "gpt-4o-mini", "messages": each, **parameters} for each in conversations]
    lines = lines_of(bodies)
    assert together(lines) == one_by_one(lines)


ODD = {
    "another parameter": {"temperature": 0.1},
    "a parameter out of range": {"temperature": 9},
    "the same number of another type": {"temperature": 0},
    "a choice more": {"n": 2},
    "a schema": {"response_format": {"type": "json_object"}},
    "no messages": {"messages": []},
    "messages of another type": {"messages": "Hello"},
    "a message of another type": {"messages": ["Hello"]},
    "a message with a name": {"messages": [says("Hello", name="Ann")]},
    "a message without content": {"messages": [{"role": "user", "text": "Hello"}]},
    "parts": {"messages": [says([{"type": "text", "text": "Hello"}])]},
    "no role that there is": {"messages": [says("Hello", "king")]},
    "a role of another type": {"messages": [says("Hello", ["user"])]},
    "an answer at the end": {"messages": [says("Hello"), says("Hi", "assistant")]},
    "an empty question": {"messages": [says("Hello"), says("")]},
    "more than fits": {"messages": [says("word " * 700_000)]},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("all_alike", [False, True])
def test_where_one_is_odd_each_is_answered_by_itself(odd, all_alike):
    plain = {"model": "gpt-4o-mini", "messages": [says("Hello")], "temperature": 0.0}
    bodies = [{**plain, **odd}] * 3 if all_alike else [plain, {**plain, **odd}, plain]
    lines = lines_of(bodies)
    if not (all_alike and odd in ({"temperature": 0.1}, {"temperature": 0})):
        assert together(lines) is None
    assert together(lines, simulated_many) == one_by_one(lines)


@pytest.mark.parametrize("limit", [1, 5, 8, 9, 30])
def test_an_answer_that_a_limit_cuts_is_cut(limit):
    bodies = [
        {"model": "gpt-4o", "messages": [says("Hello" * number)], "max_tokens": limit}
        for number in range(1, 9)
    ]
    lines = lines_of(bodies)
    assert together(lines, simulated_many) == one_by_one(lines)


contents = st.text(max_size=6) | st.sampled_from([None, 1, ["a"], [{"type": "text", "text": "b"}]])
conversations = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "user", "system", "king"]), "content": contents}
    ),
    max_size=3,
)


@given(
    messages=st.lists(conversations, min_size=1, max_size=4),
    parameters=st.sampled_from([*PLAIN.values(), {"n": 2}, {"max_tokens": 9}]),
)
def test_no_conversation_is_answered_otherwise_for_its_neighbours(messages, parameters):
    bodies = [{"model": "gpt-4o", "messages": each, **parameters} for each in messages]
    lines = lines_of(bodies)
    assert together(lines, simulated_many) == one_by_one(lines)
