"""The models of OpenAI: dated names, sizes, and which of them reason."""

import re
from functools import lru_cache
from typing import NamedTuple


class Model(NamedTuple):
    """A model's dated name and its sizes in tokens, None where they are not known."""

    snapshot: str
    context: int | None = None
    longest_answer: int | None = None


_MODELS = {  # the aliases (API reference, "Models"); who answers under its own name is absent
    "gpt-3.5-turbo": Model("gpt-3.5-turbo-0125", 16_385, 4_096),
    "gpt-3.5-turbo-16k": Model("gpt-3.5-turbo-16k-0613", 16_385, 4_096),
    "gpt-4": Model("gpt-4-0613", 8_192, 8_192),
    "gpt-4-turbo": Model("gpt-4-turbo-2024-04-09", 128_000, 4_096),
    "gpt-4-turbo-preview": Model("gpt-4-0125-preview", 128_000, 4_096),
    "gpt-4o": Model("gpt-4o-2024-08-06", 128_000, 16_384),
    "gpt-4o-mini": Model("gpt-4o-mini-2024-07-18", 128_000, 16_384),
    "gpt-4o-search-preview": Model("gpt-4o-search-preview-2025-03-11", 128_000, 16_384),
    "gpt-4o-mini-search-preview": Model("gpt-4o-mini-search-preview-2025-03-11", 128_000, 16_384),
    "gpt-4.1": Model("gpt-4.1-2025-04-14", 1_047_576, 32_768),
    "gpt-4.1-mini": Model("gpt-4.1-mini-2025-04-14", 1_047_576, 32_768),
    "gpt-4.1-nano": Model("gpt-4.1-nano-2025-04-14", 1_047_576, 32_768),
    "o1": Model("o1-2024-12-17", 200_000, 100_000),
    "o1-mini": Model("o1-mini-2024-09-12", 128_000, 65_536),
    "o1-preview": Model("o1-preview-2024-09-12", 128_000, 32_768),
    "o1-pro": Model("o1-pro-2025-03-19", 200_000, 100_000),
    "o3": Model("o3-2025-04-16", 200_000, 100_000),
    "o3-mini": Model("o3-mini-2025-01-31", 200_000, 100_000),
    "o3-pro": Model("o3-pro-2025-06-10", 200_000, 100_000),
    "o3-deep-research": Model("o3-deep-research-2025-06-26", 200_000, 100_000),
    "o4-mini": Model("o4-mini-2025-04-16", 200_000, 100_000),
    "o4-mini-deep-research": Model("o4-mini-deep-research-2025-06-26", 200_000, 100_000),
    "gpt-5": Model("gpt-5-2025-08-07", 400_000, 128_000),
    "gpt-5-mini": Model("gpt-5-mini-2025-08-07", 400_000, 128_000),
    "gpt-5-nano": Model("gpt-5-nano-2025-08-07", 400_000, 128_000),
    "gpt-5-pro": Model("gpt-5-pro-2025-10-06", 400_000, 272_000),
    "gpt-5.1": Model("gpt-5.1-2025-11-13", 400_000, 128_000),
    "gpt-5.2": Model("gpt-5.2-2025-12-11", 400_000, 128_000),
    "gpt-5.2-pro": Model("gpt-5.2-pro-2025-12-11", 400_000, 128_000),
    "gpt-5.4": Model("gpt-5.4-2026-03-05", 1_050_000, 128_000),
    "gpt-5.4-mini": Model("gpt-5.4-mini-2026-03-17", 400_000, 128_000),
    "gpt-5.4-nano": Model("gpt-5.4-nano-2026-03-17", 400_000, 128_000),
    "gpt-5.4-pro": Model("gpt-5.4-pro-2026-03-05", 1_050_000, 128_000),
    "gpt-5.5": Model("gpt-5.5-2026-04-24", 1_000_000, 128_000),
    "gpt-5.5-pro": Model("gpt-5.5-pro-2026-04-23", 1_000_000, 128_000),
    "gpt-image-1.5": Model("gpt-image-1.5-2025-12-16"),
}

KNOWN = tuple(  # the models that are known by name; a family may have others
    sorted(
        {
            *_MODELS,
            *(model.snapshot for model in _MODELS.values()),
            *("text-embedding-3-large", "text-embedding-3-small", "text-embedding-ada-002"),
            *("omni-moderation-latest", "text-moderation-latest", "gpt-3.5-turbo-instruct"),
        }
    )
)

_ALIASES = {model.snapshot: alias for alias, model in _MODELS.items()}
_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")
_REASONING = re.compile(r"(?:o\d|codex-|gpt-[5-9](?!.*-chat))")
_ONLY_DEFAULT_TEMPERATURE = re.compile(r"(?:o\d|gpt-5(?:-mini|-nano|-pro)?$)")


def snapshot(model: str) -> str:
    """The dated name that `model` stands for; a name that is unknown or dated stays as it is.

    Embedding and moderation models keep their alias (observed).
    """
    known = _MODELS.get(model)
    return model if known is None else known.snapshot


def release_date(model: str) -> tuple[int, int, int] | None:
    """Year, month and day in the dated name that `model` stands for; None when it has none."""
    found = re.search(r"-(\d{4})-(\d{2})-(\d{2})$", snapshot(model))
    if found is None:
        return None
    year, month, day = map(int, found.groups())
    return (year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None


def sizes(model: str) -> Model:
    """The sizes of `model`, which may be an alias, a snapshot or a fine-tuned model's name."""
    name = alias(model)
    return _MODELS.get(name) or Model(model)


@lru_cache(maxsize=256)
def is_reasoning(model: str) -> bool:
    """True when `model` thinks before it answers, and so spends reasoning tokens."""
    return _REASONING.match(alias(model)) is not None


@lru_cache(maxsize=256)
def takes_temperature(model: str) -> bool:
    """True when `model` takes a `temperature` or `top_p` other than its default (inferred)."""
    return _ONLY_DEFAULT_TEMPERATURE.match(alias(model)) is None


@lru_cache(maxsize=256)
def alias(model: str) -> str:
    """The name without its date, of a snapshot or of the model that was fine-tuned."""
    if model.startswith("ft:"):
        model = model.split(":", 2)[1]
    return _ALIASES.get(model) or _DATE.sub("", model)
