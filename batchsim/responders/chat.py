"""Answers of /v1/chat/completions, in the shape and key order of 2026 (observed).

Written as text from constant pieces, since a batch may need 50,000 of them: only the strings that
vary pass through an encoder.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any, NamedTuple

import orjson

from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.tokens import estimate_prompt_tokens
from batchsim.responders import Answer, Occasion, models
from batchsim.responders.chat_refusals import format_refusal, message_refusal, model_refusal
from batchsim.responders.entropy import base62, stretch
from batchsim.responders.forms import call_arguments, forced_function, formatted_text
from batchsim.responders.parameters import (
    boolean,
    decimal,
    integer,
    longest_prompt,
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

LONGEST_REMEMBERED = 1 << 14
"""In bytes: what follows from longer parameters is not kept in memory."""

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


class _Style(NamedTuple):
    """What is the same in all answers of one model; the first three are JSON text."""

    model: str
    logprobs: str
    fingerprint: str
    sizes: models.Model
    is_reasoning: bool


class _Call(NamedTuple):
    """The function that the model is obliged to call; `name` is JSON text, `arguments` a string."""

    name: str
    arguments: str
    finish_reason: str


class _Manner(NamedTuple):
    """What follows from a request's parameters alone, and so is the same for most of a batch."""

    style: _Style
    copies: int
    """How many choices the answer has."""
    refused: Answer | None = None
    """The refusal of a parameter that is out of its range; what follows is then not known."""
    refused_by_model: Answer | None = None
    """The refusal of a parameter that the model does not take, once the messages are in order."""
    form: Any = None
    call: _Call | None = None
    effort: Any = None
    limit: int | None = None
    limit_name: str = "max_tokens"
    longest_prompt: float = math.inf
    """In tokens: beyond it prompt and answer do not fit the model."""


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """The simulated answer: it echoes the last user message, or has the form that was asked for."""
    manner = _manner_of(request)
    messages: Any = request.body.get("messages")
    refused = manner.refused or message_refusal(messages) or manner.refused_by_model
    form = manner.form
    if refused is None and form is not None:
        refused = format_refusal(messages, form)
    prompt_tokens = estimate_prompt_tokens(request)
    if refused is None and prompt_tokens > manner.longest_prompt:
        sizes, limit, name = manner.style.sizes, manner.limit, manner.limit_name
        refused = size_refusal("messages", sizes, prompt_tokens, limit, name)
    if refused is not None:
        return refused
    if manner.call is not None:
        return _called(occasion, manner, prompt_tokens, manner.call)
    text = echo(last_text(messages))
    if form is not None:
        text = formatted_text(text, form)
    thought = 0
    if manner.style.is_reasoning:
        thought = reasoning_tokens(manner.effort, occasion.entropy)
    said = reply(text, reasoning_tokens=thought, limit=manner.limit)
    return _speech(occasion, manner, prompt_tokens, said)


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """A well-formed answer whose text is `text`, whatever the request asks for."""
    prompt_tokens = estimate_prompt_tokens(request)
    return _speech(occasion, _manner_of(request), prompt_tokens, reply(text))


def _manner_of(request: RequestLine) -> _Manner:
    model = request.model or ""
    parameters = {**request.body, "messages": None}
    try:
        written = orjson.dumps(parameters)
    except orjson.JSONEncodeError:  # such as an integer of 30 digits, from a caller in Python
        return _manner(model, parameters)
    if len(written) > LONGEST_REMEMBERED:
        return _manner(model, parameters)
    return _remembered_manner(model, written)


@lru_cache(maxsize=256)
def _remembered_manner(model: str, parameters: bytes) -> _Manner:
    return _manner(model, orjson.loads(parameters))


def _manner(model: str, parameters: dict[str, Any]) -> _Manner:
    style = _style(model)
    copies = parameters.get("n")
    copies = copies if type(copies) is int and 1 < copies <= 128 else 1
    refused = refusal(parameters, CHECKS)
    if refused is not None:
        return _Manner(style, copies, refused)
    limit_name = (
        "max_completion_tokens" if parameters.get("max_completion_tokens") else "max_tokens"
    )
    limit = parameters.get(limit_name)
    return _Manner(
        style,
        copies,
        refused_by_model=model_refusal(parameters, model) if style.is_reasoning else None,
        form=parameters.get("response_format"),
        call=_call_of(parameters),
        effort=parameters.get("reasoning_effort"),
        limit=limit,
        limit_name=limit_name,
        longest_prompt=longest_prompt(style.sizes, limit),
    )


def _call_of(parameters: dict[str, Any]) -> _Call | None:
    function = forced_function(parameters.get("tools"), parameters.get("tool_choice"))
    if function is None:
        return None
    # A call of a function that the request names ends with "stop" (API reference).
    finish_reason = "tool_calls" if parameters["tool_choice"] == "required" else "stop"
    return _Call(quote(function["name"]), call_arguments(function), finish_reason)


def _called(occasion: Occasion, manner: _Manner, prompt_tokens: int, call: _Call) -> Answer:
    identifier = base62(stretch(occasion.entropy, "tool call", 24))
    message = (
        '{"role": "assistant", "content": null, "tool_calls": '
        f'[{{"id": "call_{identifier}", "type": "function", "function": '
        f'{{"name": {call.name}, "arguments": {quote(call.arguments)}}}}}], '
        '"refusal": null, "annotations": []}'
    )
    said = reply(call.arguments)
    return _completion(occasion, manner, prompt_tokens, said, message, call.finish_reason)


def _speech(occasion: Occasion, manner: _Manner, prompt_tokens: int, said: Reply) -> Answer:
    message = (
        f'{{"role": "assistant", "content": {quote(said.text)}, '
        '"refusal": null, "annotations": []}'
    )
    finish_reason = "length" if said.is_cut else "stop"
    return _completion(occasion, manner, prompt_tokens, said, message, finish_reason)


def _completion(
    occasion: Occasion,
    manner: _Manner,
    prompt_tokens: int,
    said: Reply,
    message: str,
    finish_reason: str,
) -> Answer:
    at, entropy = occasion
    style, copies = manner.style, manner.copies
    end = f', "message": {message}, {style.logprobs}"finish_reason": "{finish_reason}"}}'
    choices, tokens, reasoned = f'{{"index": 0{end}', said.tokens, said.reasoning_tokens
    if copies > 1:
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
    usage = _new_tuple(Usage, (prompt_tokens, tokens, cached, reasoned))
    return _new_tuple(Answer, (200, body, usage))


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
