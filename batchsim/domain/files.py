"""File: an input, output or error file as the Files API describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from batchsim.domain.coercion import integer, text, timestamp


class Purpose(StrEnum):
    """The purpose of a file; batches read `batch` files and write `batch_output` ones."""

    ASSISTANTS = "assistants"
    ASSISTANTS_OUTPUT = "assistants_output"
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"
    FINE_TUNE = "fine-tune"
    FINE_TUNE_RESULTS = "fine-tune-results"
    VISION = "vision"
    USER_DATA = "user_data"
    EVALS = "evals"


UPLOAD_PURPOSES = (  # of uploads, in the order of the API's refusal (observed)
    Purpose.FINE_TUNE,
    Purpose.ASSISTANTS,
    Purpose.BATCH,
    Purpose.USER_DATA,
    Purpose.VISION,
    Purpose.EVALS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A stored file, without its content (API reference, "The file object").

    `bytes` is the exact size of the content. `created_at` and `expires_at` are unix seconds;
    a file without `expires_at` is kept until it is deleted. `status` is `processed` at once for
    input files of batches (observed); services that need time say `uploaded` or `pending` first.
    """

    id: str
    purpose: str
    filename: str
    bytes: int
    created_at: int
    expires_at: int | None = None
    status: str = "processed"
    status_details: str | None = None

    def to_object(self) -> dict[str, Any]:
        """The API's JSON object, keys in the order of the wire (observed, 2026)."""
        return {"object": "file", **{name: getattr(self, name) for name in self.__slots__}}

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> Self:
        """Read a file object as OpenAI or a compatible service sends it; extra keys are ignored.

        Raises ValueError when `value` is not a file object: it has no id.
        """
        identifier = text(value.get("id"))
        if identifier is None:
            raise ValueError("the answer is not a file object: it has no id")
        return cls(
            id=identifier,
            purpose=text(value.get("purpose")) or "",
            filename=text(value.get("filename")) or "",
            bytes=integer(value.get("bytes")) or 0,
            created_at=timestamp(value.get("created_at")) or 0,
            expires_at=timestamp(value.get("expires_at")),
            status=text(value.get("status")) or "processed",
            status_details=text(value.get("status_details")),
        )
