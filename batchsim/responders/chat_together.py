"""Answers to many plain conversations at once, the same as batchsim.responders.chat gives one by one.

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
from typing import NamedTuple

from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLines
from batchsim.pricing.tokens import MESSAGE_TOKENS, estimate_each, estimate_prompt_tokens
from batchsim.responders import ENTROPY, Answers, in_pieces
from batchsim.responders.chat import CHOICE, COMPLETION, MESSAGE
from batchsim.responders.chat_manner import Style, common_manner
from batchsim.responders.chat_refusals import ROLES
from batchsim.responders.entropy import base62
from batchsim.responders.replies import SMALLEST_CACHED, cached_tokens, echo, reasoning_tokens

_LETTERS = 29
"""How long the varying part of an id is."""


def respond_together(lines: RequestLines, moments: Sequence[int], entropy: bytes) -> Answers | None:
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
    return Answers([200] * len(bodies), bodies, usage)


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
