"""The most tokens that a request can be billed for: those of its prompt and those of its answer."""

from typing import Any

from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_counter import counter_for

_LIMITS = {
    "/v1/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/v1/completions": ("max_tokens",),
    "/v1/responses": ("max_output_tokens",),
}
_CHOICES = ("n", "best_of")
_WITHOUT_OUTPUT = frozenset({"/v1/embeddings", "/v1/moderations"})

DEFAULT_COMPLETION_TOKENS = 16  # `max_tokens` of a completion that sets none (API reference)


REQUEST_MARGIN, MESSAGE_MARGIN = 8, 4
"""Tokens added to a count, for a request and for each of its messages and texts. The counts meet
what the API reported (tests/pricing); this is for models that frame messages in another way."""

_SILENT = frozenset(  # parameters that add nothing to a prompt
    {"model", "n", "seed", "stop", "user", "metadata", "store", "stream", "temperature"}
    | {"top_p", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs"}
    | {"top_logprobs", "max_tokens", "max_completion_tokens", "max_output_tokens"}
    | {"safety_identifier", "prompt_cache_key", "dimensions", "encoding_format", "best_of"}
    | {"service_tier"}
)
_COUNTED = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
    "/v1/responses": "input",
}
"""The parameter that is the prompt. Beside any but silent ones the count would be an estimate."""
_MESSAGE = frozenset({"role", "content", "name"})


def most_prompt_tokens(request: RequestLine, size: int) -> int:
    """The most tokens that the prompt can be billed for; `size` is the line's length in bytes.

    Where it is all plain text and the model's vocabulary is at hand, they are counted, with a
    margin. Otherwise every byte of the line counts as one, since no token is shorter.
    """
    name = _COUNTED.get(request.url, "")
    counter = counter_for(request.model)
    if counter.vocabulary is None or request.body.keys() - _SILENT != {name}:
        return size
    texts = _plain_texts(request.body[name])
    if texts is None:
        return size
    return min(size, counter.count(request) + REQUEST_MARGIN + MESSAGE_MARGIN * texts)


def _plain_texts(value: Any) -> int | None:
    """Count the texts or text messages of the prompt; None when it holds anything else."""
    if type(value) is not list:
        return 1 if _is_text(value) else None
    is_plain = all(_is_text(each) or _is_message(each) for each in value)
    return len(value) if is_plain else None


def _is_message(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() <= _MESSAGE
        and all(_is_text(each) for each in value.values())
    )


def _is_text(value: Any) -> bool:
    """True for text that UTF-8 can carry. What a service makes of other text is not known."""
    return type(value) is str and not any("\ud800" <= each <= "\udfff" for each in value)


def most_output_tokens(request: RequestLine) -> int | None:
    """The most output tokens that the request can be billed for; None when nothing bounds them.

    Every choice, and for a legacy completion every prompt, may use up its limit (API reference).
    Embeddings and moderations have no output. A limit or a number of choices that is no integer
    bounds nothing: what a service makes of it is not known. Of two limits the larger counts.
    """
    url, body = request.url, request.body
    if url in _WITHOUT_OUTPUT:
        return 0
    given = [body[name] for name in _LIMITS.get(url, ()) if body.get(name) is not None]
    if url == "/v1/completions" and not given:
        given = [DEFAULT_COMPLETION_TOKENS]
    choices = [body[name] for name in _CHOICES if body.get(name) is not None]
    if not given or not all(type(each) is int and each >= 0 for each in given + choices):
        return None
    prompts = _prompts(body.get("prompt")) if url == "/v1/completions" else 1
    most: int = max(given) * max([*choices, 1]) * prompts
    return most


def _prompts(value: Any) -> int:
    """One text or token list is one prompt; otherwise each element is one."""
    if type(value) is not list or (value and all(type(each) is int for each in value)):
        return 1
    return max(1, len(value))
