"""Answers of /v1/chat/completions, in the shape and key order of 2026 (observed).

Written as text from constant pieces, since a batch may need 50,000 of them: only the strings that
vary pass through an encoder.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any, NamedTuple

from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.tokens import estimate_prompt_tokens
from batchsim.responders import Answer, Occasion, errors, models
from batchsim.responders.entropy import base62, stretch
from batchsim.responders.forms import call_arguments, forced_function, formatted_text
from batchsim.responders.parameters import (
    boolean,
    decimal,
    integer,
    one_of,
    refusal,
    size_refusal,
    string,
)
from batchsim.responders.replies import (
    Reply,
    cached_tokens,
    echo,
    last_text,
    reasoning_tokens,
    reply,
)

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
"""Who may speak in a conversation, in the order of the API's refusal."""

FORMATS = ("json_object", "json_schema", "text")
"""What an answer can be, in the order of the API's refusal."""

CHECKS = {
    "temperature": decimal(0, 2),
    "top_p": decimal(0, 1),
    "presence_penalty": decimal(-2, 2),
    "frequency_penalty": decimal(-2, 2),
    "n": integer(1, 128),
    "max_tokens": integer(1),
    "max_completion_tokens": integer(1),
    "top_logprobs": integer(0, 20),
    "logprobs": boolean,
    "parallel_tool_calls": boolean,
    "store": boolean,
    "user": string,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
}
"""The ranges of the parameters (API reference)."""


class _Style(NamedTuple):
    """What is the same in all answers of one model; the first three are JSON text."""

    model: str
    logprobs: str
    fingerprint: str
    sizes: models.Model
    is_reasoning: bool


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """The simulated answer: it echoes the last user message, or has the form that was asked for."""
    body = request.body
    style = _style(request.model or "")
    prompt_tokens = estimate_prompt_tokens(request)
    limit_name = "max_completion_tokens" if body.get("max_completion_tokens") else "max_tokens"
    limit = body.get(limit_name)
    refused = _refusal(request, style) or size_refusal(
        "messages", style.sizes, prompt_tokens, limit, limit_name
    )
    if refused is not None:
        return refused
    tools = body.get("tools")
    function = tools and forced_function(tools, body.get("tool_choice"))
    if function:
        return _call(request, occasion, style, prompt_tokens, function)
    text = echo(last_text(body["messages"]))
    form = body.get("response_format")
    thought = 0
    if style.is_reasoning:
        thought = reasoning_tokens(body.get("reasoning_effort"), occasion.entropy)
    said = reply(
        text if form is None else formatted_text(text, form), reasoning_tokens=thought, limit=limit
    )
    return _speech(request, occasion, style, prompt_tokens, said)


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """A well-formed answer whose text is `text`, whatever the request asks for."""
    style = _style(request.model or "")
    return _speech(request, occasion, style, estimate_prompt_tokens(request), reply(text))


def _refusal(request: RequestLine, style: _Style) -> Answer | None:
    body = request.body
    refused = refusal(body, CHECKS) or _message_refusal(body.get("messages"))
    if refused is not None:
        return refused
    if style.is_reasoning:
        refused = _model_refusal(body, request.model or "")
    form = body.get("response_format")
    if refused is None and form is not None:
        refused = _format_refusal(body["messages"], form)
    return refused


def _message_refusal(messages: Any) -> Answer | None:
    if type(messages) is not list:
        return errors.invalid_type("messages", "an array of objects", messages)
    if not messages:
        return errors.empty_array("messages")
    for index, message in enumerate(messages):
        if type(message) is not dict:
            return errors.invalid_type(f"messages[{index}]", "an object", message)
        role = message.get("role")
        if role not in ROLES:
            return _role_refusal(f"messages[{index}].role", role)
        content = message.get("content")
        if content is None:
            if role != "assistant":
                return errors.null_content(index)
        elif type(content) is not str and type(content) is not list:
            expected = "one of a string or array of objects"
            return errors.invalid_type(f"messages[{index}].content", expected, content)
    return None


def _role_refusal(param: str, role: Any) -> Answer:
    if role is None:
        return errors.missing_parameter(param)
    if type(role) is not str:
        return errors.invalid_type(param, "a string", role)
    return errors.invalid_value(param, role, ROLES)


def _model_refusal(body: dict[str, Any], model: str) -> Answer | None:
    if body.get("max_tokens") is not None:
        return errors.unsupported_parameter("max_tokens", "max_completion_tokens")
    if not models.takes_temperature(model):
        for name in ("temperature", "top_p"):
            if body.get(name) not in (None, 1):
                return errors.unsupported_value(name, body[name])
    return None


def _format_refusal(messages: list[Any], form: Any) -> Answer | None:
    if type(form) is not dict:
        return errors.invalid_type("response_format", "an object", form)
    kind = form.get("type")
    if kind not in FORMATS:
        if type(kind) is str:
            return errors.invalid_value("response_format.type", kind, FORMATS)
        return errors.missing_parameter("response_format.type")
    if kind == "json_object" and "json" not in json.dumps(messages).lower():
        return errors.json_not_mentioned("messages", "response_format")
    if kind == "json_schema":
        holder = form.get("json_schema")
        if type(holder) is not dict or type(holder.get("name")) is not str:
            return errors.missing_parameter("response_format.json_schema.name")
    return None


def _speech(
    request: RequestLine, occasion: Occasion, style: _Style, prompt_tokens: int, said: Reply
) -> Answer:
    message = (
        f'{{"role": "assistant", "content": {quote(said.text)}, '
        '"refusal": null, "annotations": []}'
    )
    finish_reason = "length" if said.is_cut else "stop"
    return _completion(request, occasion, style, prompt_tokens, said, message, finish_reason)


def _call(
    request: RequestLine,
    occasion: Occasion,
    style: _Style,
    prompt_tokens: int,
    function: dict[str, Any],
) -> Answer:
    arguments = call_arguments(function)
    identifier = base62(stretch(occasion.entropy, "tool call", 24))
    message = (
        '{"role": "assistant", "content": null, "tool_calls": '
        f'[{{"id": "call_{identifier}", "type": "function", "function": '
        f'{{"name": {quote(function["name"])}, "arguments": {quote(arguments)}}}}}], '
        '"refusal": null, "annotations": []}'
    )
    # A call of a function that the request names ends with "stop" (API reference).
    finish_reason = "tool_calls" if request.body["tool_choice"] == "required" else "stop"
    said = reply(arguments)
    return _completion(request, occasion, style, prompt_tokens, said, message, finish_reason)


def _completion(
    request: RequestLine,
    occasion: Occasion,
    style: _Style,
    prompt_tokens: int,
    said: Reply,
    message: str,
    finish_reason: str,
) -> Answer:
    at, entropy = occasion
    end = f', "message": {message}, {style.logprobs}"finish_reason": "{finish_reason}"}}'
    choices, tokens, reasoned = f'{{"index": 0{end}', said.tokens, said.reasoning_tokens
    copies = request.body.get("n")
    if type(copies) is int and 1 < copies <= 128:
        choices = ", ".join([f'{{"index": {index}{end}' for index in range(copies)])
        tokens, reasoned = copies * tokens, copies * reasoned
    cached = cached_tokens(prompt_tokens, entropy)
    body = (
        f'{{"id": "chatcmpl-{base62(entropy[:29])}", "object": "chat.completion", '
        f'"created": {at}, "model": {style.model}, "choices": [{choices}], '
        f'"usage": {{"prompt_tokens": {prompt_tokens}, "completion_tokens": {tokens}, '
        f'"total_tokens": {prompt_tokens + tokens}, '
        f'"prompt_tokens_details": {{"cached_tokens": {cached}, "audio_tokens": 0}}, '
        f'"completion_tokens_details": {{"reasoning_tokens": {reasoned}, "audio_tokens": 0, '
        '"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}, '
        f'"service_tier": "default", "system_fingerprint": {style.fingerprint}}}'
    )
    return Answer(200, body, Usage(prompt_tokens, tokens, cached, reasoned))


@lru_cache(maxsize=256)
def _style(model: str) -> _Style:
    name = models.snapshot(model)
    fingerprint = hashlib.blake2b(name.encode(), digest_size=5).hexdigest()
    # Reasoning models leave the key out (observed for gpt-5-nano).
    logprobs = "" if models.is_reasoning(model) else '"logprobs": null, '
    return _Style(
        quote(name),
        logprobs,
        f'"fp_{fingerprint}"',
        models.sizes(model),
        models.is_reasoning(model),
    )
