"""Answers of /v1/responses, in the shape and key order of August 2026 (observed)."""

import json
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from batchsim.domain import models
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_estimate import estimate_prompt_tokens
from batchsim.responders import Occasion, content, error_answers
from batchsim.responders import parameter_ranges as ranges

CHECKS = {  # the ranges of the parameters (API reference; that of `max_output_tokens` observed)
    "instructions": ranges.string,
    "temperature": ranges.decimal(0, 2),
    "top_p": ranges.decimal(0, 1),
    "max_output_tokens": ranges.integer(16),
    "max_tool_calls": ranges.integer(1),
    "top_logprobs": ranges.integer(0, 20),
    "parallel_tool_calls": ranges.boolean,
    "store": ranges.boolean,
    "background": ranges.boolean,
    "truncation": ranges.one_of("auto", "disabled"),
    "user": ranges.string,
}

_TOOL_USAGE = (
    '{"image_gen": {"input_tokens": 0, "input_tokens_details": {"image_tokens": 0, '
    '"text_tokens": 0}, "output_tokens": 0, "output_tokens_details": {"image_tokens": 0, '
    '"text_tokens": 0}, "total_tokens": 0}, "web_search": {"num_requests": 0}}'
)


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer with an echo of the last user message, or in the form that was asked for.

    An answer that was cut by `max_output_tokens` is `incomplete`, and still a 200 (observed).
    """
    body, model = request.body, request.model or ""
    refused = _refusal(request)
    if refused is not None:
        return refused
    thought = 0
    if models.is_reasoning(model):
        thought = content.reasoning_tokens(
            _entry(body.get("reasoning"), "effort"), occasion.entropy
        )
    function = content.forced_function(body.get("tools"), body.get("tool_choice"))
    if function is not None:
        said = content.reply(content.call_arguments(function), reasoning_tokens=thought)
        return _response(request, occasion, said, function)
    text = content.formatted_text(
        content.echo(content.last_text(body.get("input"))), _entry(body.get("text"), "format")
    )
    said = content.reply(text, reasoning_tokens=thought, limit=body.get("max_output_tokens"))
    return _response(request, occasion, said)


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    return _response(request, occasion, content.reply(text))


def _refusal(request: RequestLine) -> Answer | None:
    body, model = request.body, request.model or ""
    refused = ranges.refusal(body, CHECKS) or _input_refusal(body.get("input"))
    if refused is not None:
        return refused
    if not models.takes_temperature(model):
        for name in ("temperature", "top_p"):
            if body.get(name) not in (None, 1):
                return error_answers.unsupported_parameter(name)
    limit = body.get("max_output_tokens")
    prompt_tokens = estimate_prompt_tokens(request)
    return ranges.size_refusal(
        "input", models.sizes(model), prompt_tokens, limit, "max_output_tokens"
    )


def _input_refusal(value: Any) -> Answer | None:
    if value is None or type(value) is str:  # without input, a prompt or conversation stands in
        return None
    if type(value) is not list:
        return error_answers.invalid_type("input", "one of a string or array of objects", value)
    for index, item in enumerate(value):
        if type(item) is not dict:
            return error_answers.invalid_type(f"input[{index}]", "an object", item)
        refused = _content_refusal(f"input[{index}].content", item.get("content"))
        if refused is not None:
            return refused
    return None


def _content_refusal(param: str, parts: Any) -> Answer | None:
    if type(parts) is not list:
        return None
    for index, part in enumerate(parts):
        url = _entry(part, "image_url")
        if url is not None and type(url) is not str:
            return error_answers.invalid_type(f"{param}[{index}].image_url", "an image URL", url)
    return None


def _entry(holder: Any, name: str) -> Any:
    return holder.get(name) if type(holder) is dict else None


def _response(
    request: RequestLine,
    occasion: Occasion,
    said: content.Reply,
    function: dict[str, Any] | None = None,
) -> Answer:
    body, at = request.body, occasion.at
    prompt_tokens = estimate_prompt_tokens(request)
    cached = content.cached_tokens(prompt_tokens, occasion.entropy)
    status = "incomplete" if said.is_cut else "completed"
    details = '{"reason": "max_output_tokens"}' if said.is_cut else "null"

    def given(name: str, otherwise: str) -> str:
        value = body.get(name)
        return otherwise if value is None else json.dumps(value)

    answer = (
        f'{{"id": "resp_{_identifier(occasion, 0)}", "object": "response", "created_at": {at}, '
        f'"status": "{status}", "background": false, "billing": {{"payer": "developer"}}, '
        f'"completed_at": {"null" if said.is_cut else at}, "error": null, '
        f'"frequency_penalty": 0.0, "incomplete_details": {details}, '
        f'"instructions": {given("instructions", "null")}, '
        f'"max_output_tokens": {given("max_output_tokens", "null")}, '
        f'"max_tool_calls": {given("max_tool_calls", "null")}, '
        f'"model": {quote(models.snapshot(request.model or ""))}, "moderation": null, '
        f'"output": [{_output(occasion, said, function)}], '
        f'"parallel_tool_calls": {given("parallel_tool_calls", "true")}, '
        f'"presence_penalty": 0.0, '
        f'"previous_response_id": {given("previous_response_id", "null")}, '
        f'"prompt_cache_key": {given("prompt_cache_key", "null")}, '
        f'"prompt_cache_retention": {given("prompt_cache_retention", "null")}, '
        f'"reasoning": {_reasoning(body)}, '
        f'"safety_identifier": {given("safety_identifier", "null")}, "service_tier": "default", '
        f'"store": {given("store", "true")}, "temperature": {given("temperature", "1.0")}, '
        f'"text": {_text(body)}, "tool_choice": {given("tool_choice", quote("auto"))}, '
        f'"tool_usage": {_TOOL_USAGE}, "tools": {given("tools", "[]")}, '
        f'"top_logprobs": {given("top_logprobs", "0")}, "top_p": {given("top_p", "1.0")}, '
        f'"truncation": {given("truncation", quote("disabled"))}, '
        f'"usage": {{"input_tokens": {prompt_tokens}, "input_tokens_details": '
        f'{{"cache_write_tokens": 0, "cached_tokens": {cached}}}, '
        f'"output_tokens": {said.tokens}, "output_tokens_details": '
        f'{{"reasoning_tokens": {said.reasoning_tokens}}}, '
        f'"total_tokens": {prompt_tokens + said.tokens}}}, '
        f'"user": {given("user", "null")}, "metadata": {given("metadata", "{}")}}}'
    )
    usage = Usage(prompt_tokens, said.tokens, cached, said.reasoning_tokens)
    return Answer(200, answer, usage)


def _output(occasion: Occasion, said: content.Reply, function: dict[str, Any] | None) -> str:
    items = []
    if said.reasoning_tokens:
        items.append(
            f'{{"id": "rs_{_identifier(occasion, 1)}", "type": "reasoning", "summary": []}}'
        )
    if function is not None:
        call = content.base62(content.stretch(occasion.entropy, "tool call", 24))
        items.append(
            f'{{"id": "fc_{_identifier(occasion, 2)}", "type": "function_call", '
            f'"status": "completed", "arguments": {quote(said.text)}, "call_id": "call_{call}", '
            f'"name": {quote(function["name"])}}}'
        )
    elif said.text or not said.reasoning_tokens:
        status = "incomplete" if said.is_cut else "completed"
        items.append(
            f'{{"id": "msg_{_identifier(occasion, 2)}", "type": "message", "status": "{status}", '
            f'"content": [{{"type": "output_text", "annotations": [], "logprobs": [], '
            f'"text": {quote(said.text)}}}], "role": "assistant"}}'
        )
    return ", ".join(items)


def _identifier(occasion: Occasion, item: int) -> str:
    """Return 50 hex digits: a prefix shared by the response and its items, the time, the rest."""
    entropy = occasion.entropy
    start = 8 + 12 * item
    return f"0{entropy[:8].hex()[1:]}00{occasion.at:08x}{entropy[start : start + 12].hex()}"


def _reasoning(body: dict[str, Any]) -> str:
    asked = body.get("reasoning")
    known = {"context": None, "effort": None, "mode": None, "summary": None}
    return json.dumps({**known, **asked} if type(asked) is dict else known)


def _text(body: dict[str, Any]) -> str:
    asked = body.get("text")
    known = {"format": {"type": "text"}, "verbosity": "medium"}
    return json.dumps({**known, **asked} if type(asked) is dict else known)
