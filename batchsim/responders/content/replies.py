"""Replies of a simulated model: their texts and their tokens."""

from typing import Any, NamedTuple

from batchsim.pricing.token_estimate import estimate_tokens

MARK = "[simulated]"  # the beginning of every simulated text
SMALLEST_CACHED = 1024  # tokens of the shortest prompt that can come from the cache (API reference)
EXCERPT_CHARACTERS = 80  # characters of a prompt that an answer repeats

_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


class Reply(NamedTuple):
    """A text, its tokens (with those of the reasoning), and whether it was cut."""

    text: str
    tokens: int
    reasoning_tokens: int = 0
    is_cut: bool = False


def echo(prompt: str) -> str:
    excerpt = prompt[:EXCERPT_CHARACTERS]
    if not excerpt.isprintable():
        excerpt = " ".join(excerpt.split())
    if len(prompt) > EXCERPT_CHARACTERS:
        excerpt += "…"
    return f"{MARK} An answer to: {excerpt}"


def reply(text: str, *, reasoning_tokens: int = 0, limit: int | None = None) -> Reply:
    """Make a reply of at most `limit` tokens, which the reasoning uses first."""
    tokens = reasoning_tokens + estimate_tokens(text)
    if limit is None or tokens <= limit:
        return _new_tuple(Reply, (text, tokens, reasoning_tokens, False))
    reasoning_tokens = min(reasoning_tokens, limit)
    spoken, needed = limit - reasoning_tokens, tokens - reasoning_tokens
    return Reply(
        text[: len(text) * spoken // needed] if needed else "", limit, reasoning_tokens, True
    )


def reasoning_tokens(effort: Any, entropy: bytes) -> int:
    """Return the tokens of reasoning: a small multiple of 64 (observed granularity)."""
    if effort in ("none", "minimal"):
        return 0
    return 64 * (1 + entropy[62] % 4)


def cached_tokens(prompt_tokens: int, entropy: bytes) -> int:
    """Return the tokens of the prompt that came from the cache.

    That is 0, or a multiple of 128 from 1,024 on in about 1 % of long prompts (observed).
    """
    if prompt_tokens < SMALLEST_CACHED or entropy[63] % 100:
        return 0
    return prompt_tokens // 128 * 128


def last_text(messages: Any) -> str:
    """Return the text of the last user message, else of the last message with a text, or ""."""
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
