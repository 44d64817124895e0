"""Estimate a request's tokens from lengths.

Nothing is tokenized: 4.4 ASCII characters count as one token, a Chinese, Japanese or Korean
character as 0.75, a Cyrillic or accented one as 0.5. Against the o200k vocabulary that is mostly
within a quarter for English, Japanese and code, and up to 1.8 times too high for Cyrillic
(measured). It never depends on the machine and costs next to nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

from batchsim.domain.lines import RequestLine

ATTACHMENT_TOKENS = 765
"""The tokens of an image, a file or an audio clip: a 1024 x 1024 image in high detail for gpt-4o
(API reference, "Images and vision"). Attachments are never opened or fetched."""

MESSAGE_TOKENS = 3  # around each message or part of a prompt, and before the answer (API reference)

_PROMPT_PARAMETERS = frozenset({"instructions", "input", "prompt", "images", "tools", "functions"})
_ATTACHMENTS = ("image_url", "file_id", "file", "file_data", "input_audio")
_NOT_TEXT = frozenset({"role", "type", "id", "call_id", "tool_call_id", "status", "strict"})


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of `text`: 0 for the empty string, at least 1 for any other."""
    if text.isascii():
        return (5 * len(text) + 21) // 22
    characters = len(text)
    extra_bytes = len(text.encode("utf-8", "surrogatepass")) - characters
    return (50 * characters + 57 * extra_bytes + 219) // 220


def estimate_each(texts: Sequence[str]) -> list[int]:
    """Estimate many texts, in 130 ns each where one by one takes 210."""
    if "".join(texts).isascii():
        return [(5 * len(text) + 21) // 22 for text in texts]
    return list(map(estimate_tokens, texts))


def estimate_prompt_tokens(
    request: RequestLine,
    count_text: Callable[[str], int] = estimate_tokens,
    message_tokens: int = MESSAGE_TOKENS,
) -> int:
    """Estimate the tokens of the request's prompt, for any endpoint.

    Texts have what `count_text` counts, chat messages `message_tokens` besides. Token arrays
    count exactly. Parameters of an unexpected type count nothing; it never raises.
    """
    body = request.body
    tokens = 0
    messages = body.get("messages")
    if type(messages) is list:
        tokens = MESSAGE_TOKENS
        for message in messages:
            content = message.get("content") if type(message) is dict else None
            if type(content) is str and len(message) == 2:
                tokens += message_tokens + count_text(content)
            elif type(message) is dict:
                tokens += message_tokens - MESSAGE_TOKENS + _nested_tokens(message, count_text)
                tokens += (message_tokens - MESSAGE_TOKENS) * ("name" in message)
            else:
                tokens += _nested_tokens(message, count_text)
    if not _PROMPT_PARAMETERS.isdisjoint(body):
        tokens += sum(
            _nested_tokens(body[name], count_text) for name in _PROMPT_PARAMETERS & body.keys()
        )
    return tokens


def _nested_tokens(value: Any, count_text: Callable[[str], int]) -> int:
    tokens = 0
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is str:
            tokens += count_text(item)
        elif type(item) is list:
            if item and type(item[0]) is int:
                tokens += len(item)
            else:
                pending += item
        elif type(item) is dict:
            tokens += MESSAGE_TOKENS
            if any(name in item for name in _ATTACHMENTS):
                tokens += ATTACHMENT_TOKENS
            else:
                pending += [each for name, each in item.items() if name not in _NOT_TEXT]
    return tokens
