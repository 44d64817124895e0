"""What a simulated model says, and how many tokens that takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from batchsim.pricing.token_estimate import estimate_tokens

MARK = "[simulated]"
"""How every simulated text begins."""

SMALLEST_CACHED = 1024
"""So many tokens a prompt has at least that can come from the cache (API reference)."""

EXCERPT_CHARACTERS = 80
"""How much of a prompt an answer repeats."""

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


class Reply(NamedTuple):
    """A text, its tokens (those of the reasoning before it included), and whether it was cut."""

    text: str
    tokens: int
    reasoning_tokens: int = 0
    is_cut: bool = False


def echo(prompt: str) -> str:
    """The text that answers `prompt`: it says that it is simulated, and to what it answers."""
    excerpt = prompt[:EXCERPT_CHARACTERS]
    if not excerpt.isprintable():
        excerpt = " ".join(excerpt.split())
    if len(prompt) > EXCERPT_CHARACTERS:
        excerpt += "…"
    return f"{MARK} An answer to: {excerpt}"


def reply(text: str, *, reasoning_tokens: int = 0, limit: int | None = None) -> Reply:
    """`text` as a reply of at most `limit` tokens, spent on the reasoning first."""
    tokens = reasoning_tokens + estimate_tokens(text)
    if limit is None or tokens <= limit:
        return _new_tuple(Reply, (text, tokens, reasoning_tokens, False))
    reasoning_tokens = min(reasoning_tokens, limit)
    spoken, needed = limit - reasoning_tokens, tokens - reasoning_tokens
    return Reply(
        text[: len(text) * spoken // needed] if needed else "", limit, reasoning_tokens, True
    )


def reasoning_tokens(effort: Any, entropy: bytes) -> int:
    """How long a reasoning model thinks: a small multiple of 64 tokens (observed granularity)."""
    if effort in ("none", "minimal"):
        return 0
    return 64 * (1 + entropy[62] % 4)


def cached_tokens(prompt_tokens: int, entropy: bytes) -> int:
    """How much of the prompt came from the cache.

    0 or a multiple of 128 from 1,024 on, in about one of a hundred prompts that are long enough
    (observed).
    """
    if prompt_tokens < SMALLEST_CACHED or entropy[63] % 100:
        return 0
    return prompt_tokens // 128 * 128


def last_text(messages: Any) -> str:
    """The text of the last user message, or of the last message that has any; "" when none has."""
    if type(messages) is not list:
        return messages if type(messages) is str else ""
    fallback = ""
    for message in reversed(messages):
        if type(message) is not dict:
            continue
        content = message.get("content")
        text = content if type(content) is str else _parts_text(content)
        if text and message.get("role") == "user":
            return text
        fallback = fallback or text
    return fallback


def _parts_text(content: Any) -> str:
    if type(content) is not list:
        return ""
    texts = [part.get("text") for part in content if type(part) is dict]
    return " ".join(text for text in texts if type(text) is str)
