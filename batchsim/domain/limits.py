"""The limits of the Batch API, each with its unit and where it is known from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

HOUR = 3_600
DAY = 24 * HOUR

ENQUEUED_TOKENS: Mapping[str, int] = MappingProxyType(
    {
        "gpt-5": 1_500_000,
        "gpt-5-mini": 5_000_000,
        "gpt-5-nano": 2_000_000,
        "gpt-5.1": 900_000,
        "gpt-5.2": 900_000,
        "gpt-4.1": 900_000,
        "gpt-4.1-mini": 2_000_000,
        "gpt-4.1-nano": 2_000_000,
        "gpt-4o": 90_000,
        "gpt-4-turbo": 90_000,
        "o1": 90_000,
        "o3": 90_000,
        "gpt-5-pro": 90_000,
        "gpt-4o-mini": 2_000_000,
        "o3-mini": 2_000_000,
        "o4-mini": 2_000_000,
        "gpt-3.5-turbo": 2_000_000,
        "gpt-4": 100_000,
        "gpt-6-luna": 2_000_000,
        "text-embedding-3-small": 3_000_000,
        "text-embedding-3-large": 3_000_000,
        "text-embedding-ada-002": 3_000_000,
        "omni-moderation-latest": 1_000_000,
    }
)
"""Enqueued prompt tokens per model and organisation at usage tier 1 (observed); higher tiers have
more. Given to `Limits(enqueued_tokens=...)` it makes the fake as strict as a new account."""


LARGEST_FILE = 512_000_000  # the most bytes of a file, whatever it is for (API reference, 512 MB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a service. The defaults are OpenAI's, documented unless marked otherwise.

    Raises UsageError for a value that no limit can have.
    """

    requests_per_batch: int = 50_000
    input_file_bytes: int = 200_000_000
    """200 MB, taken as decimal megabytes (inferred from clients that check it)."""
    embedding_inputs_per_batch: int = 50_000
    """An array input counts each of its elements."""
    completion_window: int = DAY
    """Seconds from creation until a batch expires."""
    file_lifetime: int = 30 * DAY
    """Seconds that input, output and error files are kept unless the request says otherwise."""
    shortest_file_lifetime: int = HOUR
    longest_file_lifetime: int = 30 * DAY
    metadata_pairs: int = 16
    metadata_key_characters: int = 64
    metadata_value_characters: int = 512
    batches_per_hour: int = 2_000
    uploads_per_minute: int = 1_000
    batches_per_page: int = 100
    default_batches_per_page: int = 20
    files_per_page: int = 10_000
    errors_per_batch: int = 100
    """The most errors that a failed batch lists; the real number is unknown (inferred)."""
    line_bytes: int = 200_000_000
    """The longest line that is read; no line can be longer than its file."""
    nesting: int = 128
    """The deepest nesting of a line's JSON (ours; it keeps every parser safe)."""
    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)
    """Prompt tokens that may be queued per model at once, by the model's name without its date.
    Empty: no limit. The real figures depend on the account; ENQUEUED_TOKENS holds tier 1's."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is each.default or value == {}:
                continue  # so OPENAI is made without the 7 ms that importing msgspec takes
            from batchsim.domain.constraints import CountByName, Positive, check

            kind = CountByName if each.name == "enqueued_tokens" else Positive
            check(f"the limit {each.name}", value, kind)


OPENAI = Limits()  # OpenAI's own, with no limit on enqueued tokens
