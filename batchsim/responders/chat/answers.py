"""AnswerColumns of /v1/chat/completions, in the shape and key order of 2026 (observed).

Written as text from constant pieces, since a batch may need 50,000 of them: only the strings that
vary pass through an encoder.

AnswerColumns to many plain conversations at once, the same as batchsim.responders.chat.answers gives one by one.

Theory of operation. In most batches all requests have the same parameters and ask for plain text.
Then an answer is a template in which few things vary, and each of these is worked out for all
requests in one step. Where a request is out of the ordinary, they are answered one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain
from json.encoder import encode_basestring_ascii as quote
from operator import add, sub
from typing import Any, NamedTuple

from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.pricing.token_estimate import MESSAGE_TOKENS, estimate_each, estimate_prompt_tokens
from batchsim.responders import ENTROPY, AnswerColumns, Occasion, in_pieces
from batchsim.responders.chat.manner import Call, Manner, Style, common_manner, manner_of
from batchsim.responders.chat.refusals import ROLES, format_refusal, message_refusal
from batchsim.responders.content.answer_form import formatted_text
from batchsim.responders.content.random_parts import base62, stretch
from batchsim.responders.content.replies import (
    SMALLEST_CACHED,
    Reply,
    cached_tokens,
    echo,
    last_text,
    reasoning_tokens,
    reply,
)
from batchsim.responders.parameter_ranges import size_refusal

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


_LETTERS = 29
"""How long the varying part of an id is."""


def respond_many(
    lines: RequestLines, moments: Sequence[int], entropy: bytes
) -> AnswerColumns | None:
    """The answers, made at `moments`, in unix seconds; None where one by one is the way."""
    manner = common_manner(lines)
    if manner is None or not manner.is_plain:
        return None
    prompts = _prompts(lines)
    if prompts is None or max(prompts.tokens) > manner.longest_prompt:
        return None
    parts = in_pieces(entropy, ENTROPY)
    texts = list(map(echo, prompts.last))
    thought = cached = [0] * len(texts)
    if manner.style.is_reasoning:
        thought = [reasoning_tokens(manner.effort, part) for part in parts]
    if max(prompts.tokens) >= SMALLEST_CACHED:
        cached = list(map(cached_tokens, prompts.tokens, parts))
    spoken = list(map(add, estimate_each(texts), thought))
    if manner.limit is not None and max(spoken) > manner.limit:
        return None
    letters = base62(entropy).encode()
    varying = zip(
        [letters[at : at + _LETTERS] for at in range(0, len(letters), ENTROPY)],
        moments,
        map(str.encode, map(quote, texts)),
        prompts.tokens,
        spoken,
        map(add, prompts.tokens, spoken),
        cached,
        thought,
        strict=True,
    )
    bodies = list(map(_template(manner.style).__mod__, varying))
    usage = Usage(sum(prompts.tokens), sum(spoken), sum(cached), sum(thought))
    return AnswerColumns([200] * len(bodies), bodies, usage)


class _Prompts(NamedTuple):
    """Conversations: the last message of each, which a user said, and the tokens of all it holds."""

    last: list[str]
    tokens: list[int]


def _prompts(lines: RequestLines) -> _Prompts | None:
    """None when a conversation has anything but texts, or does not end with a user's."""
    conversations = [body["messages"] for body in lines.bodies]
    if set(map(type, conversations)) != {list} or not all(conversations):
        return None
    messages = list(chain.from_iterable(conversations))
    if set(map(type, messages)) != {dict} or set(map(len, messages)) != {2}:
        return None
    try:
        roles = [message["role"] for message in messages]
        contents = [message["content"] for message in messages]
    except KeyError:
        return None
    if {*map(type, contents), *map(type, roles)} != {str} or not set(roles).issubset(ROLES):
        return None
    ends = list(accumulate(map(len, conversations)))
    last = [contents[end - 1] for end in ends]
    if "" in last or {roles[end - 1] for end in ends} != {"user"}:
        return None
    return _Prompts(last, _tokens(lines, contents, ends))


def _tokens(lines: RequestLines, contents: list[str], ends: list[int]) -> list[int]:
    """The tokens of each prompt; all the contents are given, and at which of them each one ends."""
    parameters = {**lines.bodies[0], "messages": []}  # the same in all
    first = lines.part(0, 1)._replace(bodies=[parameters]).requests()[0]
    besides = estimate_prompt_tokens(first)
    sums = list(accumulate([MESSAGE_TOKENS + each for each in estimate_each(contents)]))
    at_ends = [sums[end - 1] for end in ends]
    return [besides + each for each in map(sub, at_ends, [0, *at_ends])]


@lru_cache(maxsize=256)
def _template(style: Style) -> bytes:
    """An answer with gaps: id, moment, text, and tokens of prompt, answer, both, cache, and thought."""
    text, number = "%b", "%d"
    model, logprobs, fingerprint = (
        each.replace("%", "%%") for each in (style.model, style.logprobs, style.fingerprint)
    )
    choice = CHOICE % (0, MESSAGE % text, logprobs, "stop")
    numbers = [number] * 5
    return (COMPLETION % (text, number, model, choice, *numbers, fingerprint)).encode("ascii")
