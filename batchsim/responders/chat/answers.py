"""Answers of /v1/chat/completions, in the shape and key order of 2026 (observed).

Theory of operation. An answer is text from constant pieces; only the strings that vary pass through
an encoder. There are two ways to the same bytes:

1. `respond` answers any request.
2. `respond_many` answers neighbouring lines of a batch. Most batches have the same parameters in
   every line and ask for plain text. Then few things vary between the answers, and each of them is
   worked out for all lines in one step. Where a line differs, it gives up, and the caller takes the
   first way.

The second way takes 5 us a line instead of 24 us (128 short prompts), and a batch may have 50,000
lines. tests/responders/chat/test_answers_together.py compares the two.
"""

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
from batchsim.responders import ENTROPY, AnswerColumns, Occasion, content, in_pieces
from batchsim.responders.chat.parameters import (
    ForcedCall,
    ModelFields,
    Parameters,
    common_parameters,
    parameters_of,
)
from batchsim.responders.chat.refusals import ROLES, format_refusal, message_refusal
from batchsim.responders.parameter_ranges import size_refusal

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line

COMPLETION = (  # an answer: its id, time, model, choices, tokens and fingerprint
    '{"id": "chatcmpl-%s", "object": "chat.completion", "created": %s, "model": %s, '
    '"choices": [%s], '
    '"usage": {"prompt_tokens": %s, "completion_tokens": %s, "total_tokens": %s, '
    '"prompt_tokens_details": {"cached_tokens": %s, "audio_tokens": 0}, '
    '"completion_tokens_details": {"reasoning_tokens": %s, "audio_tokens": 0, '
    '"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}, '
    '"service_tier": "default", "system_fingerprint": %s}'
)

MESSAGE = '{"role": "assistant", "content": %s, "refusal": null, "annotations": []}'
"""A message with a text."""

CHOICE = '{"index": %s, "message": %s, %s"finish_reason": "%s"}'
"""A choice: its index, its message, the model's logprobs, and why it ends."""

_ID_LETTERS = 29  # the length of the part of an id that varies


def respond(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer with an echo of the last user message, or in the form that was asked for."""
    parameters = parameters_of(request)
    messages: Any = request.body.get("messages")
    refused = parameters.refused or message_refusal(messages) or parameters.refused_by_model
    form = parameters.form
    if refused is None and form is not None:
        refused = format_refusal(messages, form)
    prompt_tokens = estimate_prompt_tokens(request)
    if refused is None and prompt_tokens > parameters.longest_prompt:
        sizes, limit, name = parameters.fields.sizes, parameters.limit, parameters.limit_name
        refused = size_refusal("messages", sizes, prompt_tokens, limit, name)
    if refused is not None:
        return refused
    if parameters.call is not None:
        return _call(occasion, parameters, prompt_tokens, parameters.call)
    text = content.echo(content.last_text(messages))
    if form is not None:
        text = content.formatted_text(text, form)
    reasoned = 0
    if parameters.fields.is_reasoning:
        reasoned = content.reasoning_tokens(parameters.effort, occasion.entropy)
    said = content.reply(text, reasoning_tokens=reasoned, limit=parameters.limit)
    return _text(occasion, parameters, prompt_tokens, said)


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """Make a well-formed answer that says `text`, whatever the request asks for."""
    prompt_tokens = estimate_prompt_tokens(request)
    return _text(occasion, parameters_of(request), prompt_tokens, content.reply(text))


def _call(
    occasion: Occasion, parameters: Parameters, prompt_tokens: int, call: ForcedCall
) -> Answer:
    identifier = content.base62(content.stretch(occasion.entropy, "tool call", 24))
    message = (
        '{"role": "assistant", "content": null, "tool_calls": '
        f'[{{"id": "call_{identifier}", "type": "function", "function": '
        f'{{"name": {call.name}, "arguments": {quote(call.arguments)}}}}}], '
        '"refusal": null, "annotations": []}'
    )
    said = content.reply(call.arguments)
    return _completion(occasion, parameters, prompt_tokens, said, message, call.finish_reason)


def _text(
    occasion: Occasion, parameters: Parameters, prompt_tokens: int, said: content.Reply
) -> Answer:
    finish_reason = "length" if said.is_cut else "stop"
    message = MESSAGE % quote(said.text)
    return _completion(occasion, parameters, prompt_tokens, said, message, finish_reason)


def _completion(
    occasion: Occasion,
    parameters: Parameters,
    prompt_tokens: int,
    said: content.Reply,
    message: str,
    finish_reason: str,
) -> Answer:
    at, entropy = occasion
    fields, copies = parameters.fields, parameters.copies
    choices = ", ".join(
        [CHOICE % (index, message, fields.logprobs, finish_reason) for index in range(copies)]
    )
    tokens, reasoned = copies * said.tokens, copies * said.reasoning_tokens
    cached = content.cached_tokens(prompt_tokens, entropy)
    body = COMPLETION % (
        *(content.base62(entropy[:_ID_LETTERS]), at, fields.model, choices),
        *(prompt_tokens, tokens, prompt_tokens + tokens, cached, reasoned, fields.fingerprint),
    )
    usage = _new_tuple(Usage, (prompt_tokens, tokens, cached, reasoned))
    return _new_tuple(Answer, (200, body, usage))


def respond_many(
    lines: RequestLines, moments: Sequence[int], entropy: bytes
) -> AnswerColumns | None:
    """Answer lines at `moments`, in unix seconds, or return None where `respond` has to (2)."""
    parameters = common_parameters(lines)
    if parameters is None or not parameters.is_plain:
        return None
    prompts = _prompts(lines)
    if prompts is None or max(prompts.tokens) > parameters.longest_prompt:
        return None
    parts = in_pieces(entropy, ENTROPY)
    texts = list(map(content.echo, prompts.last))
    reasoned = cached = [0] * len(texts)
    if parameters.fields.is_reasoning:
        reasoned = [content.reasoning_tokens(parameters.effort, part) for part in parts]
    if max(prompts.tokens) >= content.SMALLEST_CACHED:
        cached = list(map(content.cached_tokens, prompts.tokens, parts))
    tokens = list(map(add, estimate_each(texts), reasoned))
    if parameters.limit is not None and max(tokens) > parameters.limit:
        return None
    letters = content.base62(entropy).encode()
    varying = zip(
        [letters[at : at + _ID_LETTERS] for at in range(0, len(letters), ENTROPY)],
        moments,
        map(str.encode, map(quote, texts)),
        prompts.tokens,
        tokens,
        map(add, prompts.tokens, tokens),
        cached,
        reasoned,
        strict=True,
    )
    bodies = list(map(_template(parameters.fields).__mod__, varying))
    usage = Usage(sum(prompts.tokens), sum(tokens), sum(cached), sum(reasoned))
    return AnswerColumns([200] * len(bodies), bodies, usage)


class _Prompts(NamedTuple):
    """Conversations: the last message of each, from a user, and the tokens of each prompt."""

    last: list[str]
    tokens: list[int]


def _prompts(lines: RequestLines) -> _Prompts | None:
    """Return None when a conversation has anything but texts, or does not end with a user's."""
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
    """Return the tokens of each prompt. The contents of each conversation end at `ends`."""
    body = {**lines.bodies[0], "messages": []}  # the same in all
    first = lines.part(0, 1)._replace(bodies=[body]).requests()[0]
    base = estimate_prompt_tokens(first)
    sums = list(accumulate([MESSAGE_TOKENS + each for each in estimate_each(contents)]))
    at_ends = [sums[end - 1] for end in ends]
    return [base + each for each in map(sub, at_ends, [0, *at_ends])]


@lru_cache(maxsize=256)
def _template(fields: ModelFields) -> bytes:
    """Return an answer with gaps: id, time, text, and the five numbers of tokens."""
    text, number = "%b", "%d"
    model, logprobs, fingerprint = (
        each.replace("%", "%%") for each in (fields.model, fields.logprobs, fields.fingerprint)
    )
    choice = CHOICE % (0, MESSAGE % text, logprobs, "stop")
    numbers = [number] * 5
    return (COMPLETION % (text, number, model, choice, *numbers, fingerprint)).encode("ascii")
