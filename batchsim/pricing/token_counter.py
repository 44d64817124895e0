"""Count a request's tokens with the model's own vocabulary, where it is installed.

The `tokens` extra brings the toktok package with the vocabularies inside: nothing is
fetched. Texts are then counted exactly, chat messages too. What is no text stays an estimate:
attachments, and the form in which tools and schemas are shown to a model, which is not known.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import NamedTuple

from batchsim.domain.lines import RequestLine
from batchsim.pricing.token_estimate import MESSAGE_TOKENS, estimate_prompt_tokens

_VOCABULARIES = {
    "gpt-5": "o200k_base",
    "gpt-4.5": "o200k_base",
    "gpt-4.1": "o200k_base",
    "gpt-4o": "o200k_base",
    "chatgpt-4o": "o200k_base",
    "o1": "o200k_base",
    "o3": "o200k_base",
    "o4-mini": "o200k_base",
    "gpt-4": "cl100k_base",
    "gpt-3.5-turbo": "cl100k_base",
    "gpt-35-turbo": "cl100k_base",
    "text-embedding-3": "cl100k_base",
    "text-embedding-ada-002": "cl100k_base",
    "davinci-002": "cl100k_base",
    "babbage-002": "cl100k_base",
}
"""The vocabulary of each family of models, as tiktoken 0.14 has it; the first that fits counts.
Newer families are left to the estimate, since nobody has said what they use."""

ROLE_TOKENS = 1  # the tokens of a message's role, and of a name besides its text (OpenAI cookbook)


class Counter(NamedTuple):
    """Counts the prompt tokens of requests.

    `vocabulary` names what it counts with; None means that it estimates from lengths.
    """

    vocabulary: str | None
    count: Callable[[RequestLine], int]


ESTIMATE = Counter(None, estimate_prompt_tokens)


def counter_for(model: str | None) -> Counter:
    vocabulary = vocabulary_of(model or "")
    return ESTIMATE if vocabulary is None or not has_vocabularies() else _counter(vocabulary)


def vocabulary_of(model: str) -> str | None:
    """The vocabulary of `model` (an alias, a dated or a fine-tuned name); None: not known."""
    name = model.removeprefix("ft:")
    return next(
        (
            vocabulary
            for family, vocabulary in _VOCABULARIES.items()
            if name == family or name.startswith((f"{family}-", f"{family}.", f"{family}:"))
        ),
        None,
    )


@lru_cache(maxsize=1)
def has_vocabularies() -> bool:
    """True when the `tokens` extra is installed."""
    return find_spec("toktok") is not None


@lru_cache(maxsize=4)
def _counter(vocabulary: str) -> Counter:
    return Counter(vocabulary, partial(_exact, _text_counter(vocabulary)))


def _text_counter(vocabulary: str) -> Callable[[str], int]:
    # The public batch_count sets up its workers at each call, which takes fifty times as long as
    # counting a short text; the tokenizer beneath it is documented for other uses.
    from toktok import _encoding

    count: Callable[[str], int] = _encoding(vocabulary).count

    def count_text(text: str) -> int:
        try:
            return count(text)
        except UnicodeEncodeError:  # a lone surrogate, which JSON can carry and UTF-8 cannot
            return count(text.encode("utf-8", "replace").decode())

    return count_text


def _exact(count_text: Callable[[str], int], request: RequestLine) -> int:
    return estimate_prompt_tokens(request, count_text, MESSAGE_TOKENS + ROLE_TOKENS)
