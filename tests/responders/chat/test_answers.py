import json
import tracemalloc

import pytest

from batchsim.responders.chat.parameters import LONGEST_CACHED
from batchsim.responders.simulated import simulated, with_text


def body_of(answer):
    return json.loads(answer.body)


def choice_of(answer):
    return body_of(answer)["choices"][0]


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "time"}}


def test_the_answer_says_that_it_is_simulated_and_echoes_the_last_user_message(line, occasion):
    messages = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": "Second\nline"}]},
    ]
    request = line("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": messages})
    message = choice_of(simulated(request, occasion))["message"]
    assert message == {
        "role": "assistant",
        "content": "[simulated] An answer to: Second line",
        "refusal": None,
        "annotations": [],
    }


def test_a_long_prompt_is_echoed_in_part(chat, occasion):
    content = choice_of(simulated(chat("x" * 1000), occasion))["message"]["content"]
    assert content == "[simulated] An answer to: " + "x" * 80 + "…"


def test_answers_depend_on_the_request_and_the_occasion_alone(chat, occasions):
    first, second = occasions(2)
    assert simulated(chat(), first) == simulated(chat(), first)
    assert body_of(simulated(chat(), first))["id"] != body_of(simulated(chat(), second))["id"]


def test_row_137_the_service_tier_is_default(chat, occasion):
    assert body_of(simulated(chat(service_tier="flex"), occasion))["service_tier"] == "default"


def test_row_137_cached_tokens_are_0_or_a_multiple_of_128_from_1024_on(chat, occasions):
    request = chat("word " * 3000)
    prompt_tokens = simulated(request, occasions(1)[0]).usage.input_tokens
    found = {simulated(request, each).usage.cached_tokens for each in occasions(500)}
    assert found == {0, prompt_tokens // 128 * 128}
    assert max(found) >= 1024


def test_row_137_short_prompts_are_never_cached(chat, occasions):
    assert {simulated(chat(), each).usage.cached_tokens for each in occasions(500)} == {0}


@pytest.mark.parametrize(
    ("model", "has_logprobs"), [("gpt-5-nano", False), ("o3", False), ("gpt-4o-mini", True)]
)
def test_row_138_choices_of_reasoning_models_lack_logprobs(chat, occasion, model, has_logprobs):
    assert ("logprobs" in choice_of(simulated(chat(model=model), occasion))) is has_logprobs


def test_row_135_an_answer_cut_by_its_limit_is_a_200(chat, occasion):
    answer = simulated(chat(max_completion_tokens=3), occasion)
    assert answer.status_code == 200
    assert choice_of(answer)["finish_reason"] == "length"
    assert answer.usage.output_tokens == 3
    assert choice_of(answer)["message"]["content"] == "[simulated]"


def test_a_reasoning_model_spends_its_limit_on_reasoning_first(chat, occasion):
    answer = simulated(chat(model="gpt-5-nano", max_completion_tokens=10), occasion)
    assert choice_of(answer)["message"]["content"] == ""
    assert (answer.usage.output_tokens, answer.usage.reasoning_tokens) == (10, 10)


@pytest.mark.parametrize(("effort", "thinks"), [("minimal", False), ("high", True), (None, True)])
def test_reasoning_tokens_follow_the_effort(chat, occasion, effort, thinks):
    usage = simulated(chat(model="gpt-5-nano", reasoning_effort=effort), occasion).usage
    assert (usage.reasoning_tokens > 0) is thinks
    assert usage.reasoning_tokens % 64 == 0


def test_n_choices_cost_n_times_the_tokens(chat, occasion):
    one, three = simulated(chat(), occasion), simulated(chat(n=3), occasion)
    assert [each["index"] for each in body_of(three)["choices"]] == [0, 1, 2]
    assert three.usage.output_tokens == 3 * one.usage.output_tokens
    assert three.usage.input_tokens == one.usage.input_tokens


@pytest.mark.parametrize(
    ("tool_choice", "name", "finish_reason"),
    [
        ("required", "weather", "tool_calls"),
        ({"type": "function", "function": {"name": "time"}}, "time", "stop"),
    ],
)
def test_a_forced_tool_is_called(chat, occasion, tool_choice, name, finish_reason):
    request = chat(tools=[WEATHER, TIME], tool_choice=tool_choice)
    choice = choice_of(simulated(request, occasion))
    [call] = choice["message"]["tool_calls"]
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == finish_reason
    assert call["function"]["name"] == name
    assert json.loads(call["function"]["arguments"]) == (
        {"city": "[simulated]"} if name == "weather" else {}
    )


@pytest.mark.parametrize(
    ("tools", "tool_choice"),
    [
        ([WEATHER], "auto"),
        ([WEATHER], "none"),
        ([WEATHER], None),
        ([WEATHER], {"type": "function", "function": {"name": "other"}}),
        ([WEATHER], {"type": "function", "function": 3}),
        ([], "required"),
        (["weather", {"type": "function", "function": {"name": 3}}], "required"),
        ("weather", "required"),
    ],
)
def test_a_tool_that_is_not_forced_or_not_there_is_not_called(chat, occasion, tools, tool_choice):
    message = choice_of(simulated(chat(tools=tools, tool_choice=tool_choice), occasion))["message"]
    assert message["content"].startswith("[simulated]")


def test_json_mode_gives_json(chat, occasion):
    request = chat("Give JSON", response_format={"type": "json_object"})
    content = choice_of(simulated(request, occasion))["message"]["content"]
    assert json.loads(content) == {"answer": "[simulated] An answer to: Give JSON"}


def user(content):
    return [{"role": "user", "content": content}]


REFUSALS = [
    (
        {"temperature": 999},
        "temperature",
        "decimal_above_max_value",
        (
            "Invalid 'temperature': decimal above maximum value. "
            "Expected a value <= 2, but got 999 instead."
        ),
    ),
    (
        {"temperature": -0.5},
        "temperature",
        "decimal_below_min_value",
        (
            "Invalid 'temperature': decimal below minimum value. "
            "Expected a value >= 0, but got -0.5 instead."
        ),
    ),
    (
        {"temperature": "hot"},
        "temperature",
        "invalid_type",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    (
        {"top_p": True},
        "top_p",
        "invalid_type",
        "Invalid type for 'top_p': expected a decimal, but got a boolean instead.",
    ),
    (
        {"n": 1_000_000_000},
        "n",
        "integer_above_max_value",
        (
            "Invalid 'n': integer above maximum value. "
            "Expected a value <= 128, but got 1000000000 instead."
        ),
    ),
    (
        {"max_tokens": 0},
        "max_tokens",
        "integer_below_min_value",
        (
            "Invalid 'max_tokens': integer below minimum value. "
            "Expected a value >= 1, but got 0 instead."
        ),
    ),
    (
        {"max_tokens": 1.5},
        "max_tokens",
        "invalid_type",
        "Invalid type for 'max_tokens': expected an integer, but got a decimal number instead.",
    ),
    (
        {"max_tokens": 20_000},
        "max_tokens",
        "invalid_value",
        (
            "max_tokens is too large: 20000. This model supports at most 16384 completion tokens, "
            "whereas you provided 20000."
        ),
    ),
    (
        {"max_tokens": 1_000_000},
        "messages",
        "context_length_exceeded",
        (
            "This model's maximum context length is 128000 tokens. However, you requested 1000008 "
            "tokens (8 in the messages, 1000000 in the completion). "
            "Please reduce the length of the messages or completion."
        ),
    ),
    (
        {"messages": []},
        "messages",
        "empty_array",
        (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead."
        ),
    ),
    (
        {"messages": "Hi"},
        "messages",
        "invalid_type",
        "Invalid type for 'messages': expected an array of objects, but got a string instead.",
    ),
    (
        {"messages": ["Hi"]},
        "messages[0]",
        "invalid_type",
        "Invalid type for 'messages[0]': expected an object, but got a string instead.",
    ),
    (
        {"messages": [{"content": "Hi"}]},
        "messages[0].role",
        "missing_required_parameter",
        "Missing required parameter: 'messages[0].role'.",
    ),
    (
        {"messages": [{"role": "bot", "content": "Hi"}]},
        "messages[0].role",
        "invalid_value",
        (
            "Invalid value: 'bot'. Supported values are: 'system', 'assistant', 'user', 'function', "
            "'tool', and 'developer'."
        ),
    ),
    (
        {"messages": [{"role": ["user"], "content": "Hi"}]},
        "messages[0].role",
        "invalid_type",
        "Invalid type for 'messages[0].role': expected a string, but got an array instead.",
    ),
    (
        {"messages": user(None)},
        "messages.[0].content",
        None,
        "Invalid value for 'content': expected a string, got null.",
    ),
    (
        {"messages": user(3)},
        "messages[0].content",
        "invalid_type",
        (
            "Invalid type for 'messages[0].content': expected one of a string or array of objects, "
            "but got an integer instead."
        ),
    ),
    (
        {"store": "yes"},
        "store",
        "invalid_type",
        "Invalid type for 'store': expected a boolean, but got a string instead.",
    ),
    (
        {"user": 7},
        "user",
        "invalid_type",
        "Invalid type for 'user': expected a string, but got an integer instead.",
    ),
    (
        {"reasoning_effort": 7},
        "reasoning_effort",
        "invalid_type",
        "Invalid type for 'reasoning_effort': expected a string, but got an integer instead.",
    ),
    (
        {"model": "gpt-5-nano", "max_tokens": 9},
        "max_tokens",
        "unsupported_parameter",
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        ),
    ),
    (
        {"model": "gpt-5-nano", "temperature": 0.2},
        "temperature",
        "unsupported_value",
        (
            "Unsupported value: 'temperature' does not support 0.2 with this model. "
            "Only the default (1) value is supported."
        ),
    ),
    (
        {"response_format": {"type": "json_object"}},
        "messages",
        None,
        (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'."
        ),
    ),
    (
        {"response_format": "json"},
        "response_format",
        "invalid_type",
        "Invalid type for 'response_format': expected an object, but got a string instead.",
    ),
    (
        {"response_format": {"type": "yaml"}},
        "response_format.type",
        "invalid_value",
        "Invalid value: 'yaml'. Supported values are: 'json_object', 'json_schema', and 'text'.",
    ),
    (
        {"response_format": {}},
        "response_format.type",
        "missing_required_parameter",
        "Missing required parameter: 'response_format.type'.",
    ),
    (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema.name",
        "missing_required_parameter",
        "Missing required parameter: 'response_format.json_schema.name'.",
    ),
]


@pytest.mark.parametrize(
    ("parameters", "param", "code", "message"), REFUSALS, ids=[str(case[0]) for case in REFUSALS]
)
def test_row_123_a_parameter_out_of_range_is_a_400_line(
    chat, occasion, parameters, param, code, message
):
    answer = simulated(chat(**parameters), occasion)
    assert answer.status_code == 400
    assert answer.usage.total_tokens == 0
    assert body_of(answer) == {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 2, "top_p": 0, "n": 128, "max_tokens": 1},
        {"temperature": None, "max_tokens": None, "response_format": None, "tools": None},
        {"model": "gpt-5.1", "temperature": 0.2},
        {"model": "gpt-5-nano", "temperature": 1},
        {"model": "gpt-4o-mini-2024-07-18", "max_tokens": 16_384},
        {"model": "ft:gpt-4o-mini-2024-07-18:acme::abc", "temperature": 0},
        {"model": "gpt-99", "max_completion_tokens": 10_000_000},
        {"response_format": {"type": "text"}},
        {"messages": [{"role": "assistant", "content": None}, *user("Hi")]},
        {"unknown": 1, "__class__": "x", "Authorization": "y"},
    ],
    ids=str,
)
def test_what_the_api_takes_is_taken(chat, occasion, parameters):
    assert simulated(chat(**parameters), occasion).status_code == 200


def test_a_given_text_is_the_content_as_it_is(chat, occasion):
    answer = with_text(chat(max_tokens=1), occasion, 'Line 1\n"é" \u2028 end')
    choice = choice_of(answer)
    assert choice["message"]["content"] == 'Line 1\n"é" \u2028 end'
    assert choice["finish_reason"] == "stop"
    assert "\n" not in answer.body


def test_a_given_text_makes_no_sense_of_senseless_parameters(line, occasion):
    request = line("/v1/chat/completions", {"model": "gpt-4o", "messages": 3, "n": "many"})
    assert len(body_of(with_text(request, occasion, "Hi"))["choices"]) == 1


def test_parameters_that_python_takes_for_equal_are_not_taken_for_one_another(chat, occasion):
    for value, status in ((1, 200), (True, 400), (1.0, 200), (0, 200), (False, 400)) * 2:
        assert simulated(chat(temperature=value), occasion).status_code == status
    for copies, status in ((1, 200), (True, 400), (2, 200), (2.0, 400)) * 2:
        assert simulated(chat(n=copies), occasion).status_code == status


def test_parameters_that_only_python_can_write_are_answered(chat, occasion):
    assert simulated(chat(seed=10**30), occasion).status_code == 200
    assert simulated(chat(max_tokens=10**30), occasion).status_code == 400
    assert simulated(chat(user="\ud83d"), occasion).status_code == 200


def test_long_parameters_are_not_kept_in_memory(chat, occasion):
    tracemalloc.start()
    try:
        for number in range(100):
            simulated(chat(metadata={"text": f"{number:0{LONGEST_CACHED}}"}), occasion)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 * LONGEST_CACHED
