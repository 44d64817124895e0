"""Answers of /v1/chat/completions, in the shape and key order of 2026 (observed).

Written as text from constant pieces, since a batch may need 50,000 of them: only the strings that
vary pass through an encoder.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quote
from typing import Any

from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine
from batchsim.pricing.tokens import estimate_prompt_tokens
from batchsim.responders import Answer, Occasion
from batchsim.responders.chat_manner import Call, Manner, manner_of
from batchsim.responders.chat_refusals import format_refusal, message_refusal
from batchsim.responders.entropy import base62, stretch
from batchsim.responders.forms import formatted_text
from batchsim.responders.parameters import (
    size_refusal,
)
from batchsim.responders.replies import (
    Reply,
    cached_tokens,
    echo,
    last_text,
    reasoning_tokens,
    reply,
)

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


COMPLETION = (
    '{"id": "chatcmpl-%s", "object": "chat.completion", "created": %s, "model": %s, '
    '"choices": [%s], '
    '"usage": {"prompt_tokens": %s, "completion_tokens": %s, "total_tokens": %s, '
    '"prompt_tokens_details": {"cached_tokens": %s, "audio_tokens": 0}, '
    '"completion_tokens_details": {"reasoning_tokens": %s, "audio_tokens": 0, '
    '"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}, '
    '"service_tier": "default", "system_fingerprint": %s}'
)
"""An answer: its id, when it was made, the model, the choices, the tokens, and the fingerprint."""

MESSAGE = '{"role": "assistant", "content": %s, "refusal": null, "annotations": []}'
"""What is said."""

CHOICE = '{"index": %s, "message": %s, %s"finish_reason": "%s"}'
"""One of the choices: which one, the message, what a style says of logprobs, and why it ends."""


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """The simulated answer: it echoes the last user message, or has the form that was asked for."""
    manner = manner_of(request)
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
    return _speech(occasion, manner_of(request), prompt_tokens, reply(text))


def _called(occasion: Occasion, manner: Manner, prompt_tokens: int, call: Call) -> Answer:
    identifier = base62(stretch(occasion.entropy, "tool call", 24))
    message = (
        '{"role": "assistant", "content": null, "tool_calls": '
        f'[{{"id": "call_{identifier}", "type": "function", "function": '
        f'{{"name": {call.name}, "arguments": {quote(call.arguments)}}}}}], '
        '"refusal": null, "annotations": []}'
    )
    said = reply(call.arguments)
    return _completion(occasion, manner, prompt_tokens, said, message, call.finish_reason)


def _speech(occasion: Occasion, manner: Manner, prompt_tokens: int, said: Reply) -> Answer:
    finish_reason = "length" if said.is_cut else "stop"
    message = MESSAGE % quote(said.text)
    return _completion(occasion, manner, prompt_tokens, said, message, finish_reason)


def _completion(
    occasion: Occasion,
    manner: Manner,
    prompt_tokens: int,
    said: Reply,
    message: str,
    finish_reason: str,
) -> Answer:
    at, entropy = occasion
    style, copies = manner.style, manner.copies
    choices = ", ".join(
        [CHOICE % (index, message, style.logprobs, finish_reason) for index in range(copies)]
    )
    tokens, reasoned = copies * said.tokens, copies * said.reasoning_tokens
    cached = cached_tokens(prompt_tokens, entropy)
    body = COMPLETION % (
        base62(entropy[:29]),
        at,
        style.model,
        choices,
        prompt_tokens,
        tokens,
        prompt_tokens + tokens,
        cached,
        reasoned,
        style.fingerprint,
    )
    usage = _new_tuple(Usage, (prompt_tokens, tokens, cached, reasoned))
    return _new_tuple(Answer, (200, body, usage))
