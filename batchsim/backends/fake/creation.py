"""What is refused at once when a batch is created; everything else is found in validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchsim.domain import refusals
from batchsim.domain.endpoints import COMPLETION_WINDOW, ENDPOINTS
from batchsim.domain.limits import Limits


def check_creation(
    input_file_id: Any, endpoint: Any, completion_window: Any, metadata: Any, limits: Limits
) -> None:
    """Refuse parameters that are absent, of a wrong type, or not among the allowed values."""
    _check_text("input_file_id", input_file_id)
    _check_text("endpoint", endpoint)
    _check_text("completion_window", completion_window)
    if not input_file_id.startswith("file-"):
        raise refusals.not_a_file_id(input_file_id)
    if endpoint not in ENDPOINTS:
        raise refusals.unknown_endpoint(endpoint)
    if completion_window != COMPLETION_WINDOW:
        raise refusals.unknown_completion_window(completion_window)
    if metadata is not None:
        _check_metadata(metadata, limits)


def _check_text(name: str, value: Any) -> None:
    if value is None:
        raise refusals.missing_parameter(name)
    if not isinstance(value, str):
        raise refusals.wrong_type(name, "a string", value)


def _check_metadata(metadata: Any, limits: Limits) -> None:
    if not isinstance(metadata, Mapping):
        raise refusals.wrong_type("metadata", "an object", metadata)
    if len(metadata) > limits.metadata_pairs:
        raise refusals.too_many_metadata_pairs(len(metadata), limits.metadata_pairs)
    for key, value in metadata.items():
        if len(key) > limits.metadata_key_characters:
            raise refusals.metadata_key_too_long(key, limits.metadata_key_characters)
        if not isinstance(value, str):
            raise refusals.wrong_type(f"metadata.{key}", "a string", value)
        if len(value) > limits.metadata_value_characters:
            raise refusals.metadata_value_too_long(key, value, limits.metadata_value_characters)
