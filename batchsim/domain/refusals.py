"""The API's refusals, one function each: its words, its status, its param and code.

Messages are the API's own where they were observed; those marked "inferred" follow the style of
the same service's other refusals.
"""

from typing import Any

from batchsim.domain.endpoints import COMPLETION_WINDOW, ENDPOINTS
from batchsim.domain.files import UPLOAD_PURPOSES
from batchsim.domain.lifecycle import Status
from batchsim.domain.strict_json import type_name
from batchsim.errors import Conflict, NotFound, RateLimited, Refused


def missing_parameter(name: str) -> Refused:
    """A required parameter is absent or null (inferred)."""
    return Refused(
        f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


def wrong_type(name: str, expected: str, value: Any) -> Refused:
    """A parameter has another JSON type than expected (observed)."""
    return Refused(
        f"Invalid type for '{name}': expected {expected}, but got {type_name(value)} instead.",
        param=name,
        code="invalid_type",
    )


def out_of_range(name: str, value: int, least: int, most: int) -> Refused:
    """An integer is below its least or above its greatest value (observed on other routes)."""
    if value < least:
        words, bound, code = "below minimum", f">= {least}", "integer_below_min_value"
    else:
        words, bound, code = "above maximum", f"<= {most}", "integer_above_max_value"
    return Refused(
        f"Invalid '{name}': integer {words} value. "
        f"Expected a value {bound}, but got {value} instead.",
        param=name,
        code=code,
    )


def unknown_purpose(purpose: Any) -> Refused:
    """An upload for a purpose that does not exist (observed)."""
    purposes = [str(each) for each in UPLOAD_PURPOSES]
    return Refused(f"{purpose!r} is not one of {purposes} - 'purpose'", param="purpose")


def wrong_file_format() -> Refused:
    """Not a JSONL file: by its name (observed), or empty or without JSON on line 1 (inferred)."""
    return Refused("Invalid file format for Batch API. Must be .jsonl")


def not_utf8() -> Refused:
    """The upload is not UTF-8 (observed)."""
    return Refused("Invalid file for Batch API. Must be utf-8 encoded")


def file_too_large() -> Refused:
    """The upload has more bytes than its purpose allows (observed)."""
    return Refused("File is too large.")


def too_many_uploads(limit: int, retry_after: float) -> RateLimited:
    """More uploads in a minute than allowed (limit documented, wording inferred)."""
    return _rate_limited("file uploads", limit, "min", retry_after)


def too_many_batches(limit: int, retry_after: float) -> RateLimited:
    """More batches in an hour than allowed (limit documented, wording inferred)."""
    return _rate_limited("batch creations", limit, "hour", retry_after)


def _rate_limited(what: str, limit: int, period: str, retry_after: float) -> RateLimited:
    return RateLimited(
        f"Rate limit reached for {what}. Limit: {limit:,} / {period}. Please try again later.",
        retry_after=retry_after,
    )


LONGEST_ECHO = 200  # characters of a URL that a refusal repeats


def unknown_url(method: str, path: str) -> NotFound:
    """There is nothing at that path (observed)."""
    return NotFound(f"Invalid URL ({method} {path[:LONGEST_ECHO]})", status=404)


def no_such_file(file_id: str) -> NotFound:
    """Never uploaded, deleted or expired (observed)."""
    return NotFound(f"No such File object: {file_id}", status=404, param="id")


def not_downloadable(purpose: str) -> Refused:
    """Files of some purposes cannot be read back (observed)."""
    return Refused(f"Not allowed to download files of purpose: {purpose}")


def unknown_order(order: Any) -> Refused:
    """A list order that does not exist (inferred)."""
    return _invalid_value("order", order, "Supported values are: 'asc' and 'desc'.")


def not_a_file_id(value: str) -> Refused:
    """An input_file_id that no file could have (observed)."""
    return _wrong_prefix("input_file_id", value, "file")


def wrong_input_purpose(file_id: str, purpose: str) -> Refused:
    """The input file was uploaded for something else (inferred)."""
    return Refused(
        f"Invalid 'input_file_id': '{file_id}' has purpose '{purpose}'. "
        "Expected a file with purpose 'batch'.",
        param="input_file_id",
    )


def cannot_find_file(file_id: str, project: str) -> Refused:
    """The file was not found when the batch was created (observed at times, in 2024)."""
    return Refused(
        f"Cannot find file {file_id}, or project {project} does not have access to it.",
        param="file_id",
    )


def unknown_endpoint(endpoint: str) -> Refused:
    """An endpoint that no batch can run (observed)."""
    *first, last = (f"'{path}'" for path in ENDPOINTS)
    supported = f"Supported values are: {', '.join(first)}, and {last}."
    return _invalid_value("endpoint", endpoint, supported)


def unknown_completion_window(window: str) -> Refused:
    """Another completion window than 24h (status observed, wording inferred)."""
    return _invalid_value("completion_window", window, f"Value must be '{COMPLETION_WINDOW}'.")


def too_many_metadata_pairs(pairs: int, limit: int) -> Refused:
    """More metadata than allowed (limit documented, wording inferred)."""
    return Refused(
        f"Invalid 'metadata': too many properties. Expected an object with at most {limit} "
        f"properties, but got an object with {pairs} properties instead.",
        param="metadata",
        code="object_above_max_properties",
    )


def metadata_key_too_long(key: str, limit: int) -> Refused:
    """A metadata key is too long (limit documented, wording inferred)."""
    return Refused(
        f"Invalid property name in 'metadata': '{key}' is too long. Expected a string with "
        f"maximum length {limit}, but got a string with length {len(key)} instead.",
        param="metadata",
        code="property_name_above_max_length",
    )


def metadata_value_too_long(key: str, value: str, limit: int) -> Refused:
    """A metadata value is too long (limit documented, wording inferred)."""
    return Refused(
        f"Invalid 'metadata.{key}': string too long. Expected a string with maximum length "
        f"{limit}, but got a string with length {len(value)} instead.",
        param=f"metadata.{key}",
        code="string_above_max_length",
    )


def not_a_batch_id(value: str) -> Refused:
    """A batch id that no batch could have (observed)."""
    return _wrong_prefix("batch_id", value, "batch")


def no_such_batch(batch_id: str) -> NotFound:
    """There is no batch of that id (observed)."""
    return NotFound(f"No batch found with id '{batch_id}'.", status=404)


def cannot_cancel(status: Status) -> Conflict:
    """The batch has ended, and not by being cancelled (observed)."""
    return Conflict(f"Cannot cancel a batch with status '{status}'.", status=409)


def _invalid_value(name: str, value: Any, expectation: str) -> Refused:
    return Refused(f"Invalid value: '{value}'. {expectation}", param=name, code="invalid_value")


def _wrong_prefix(name: str, value: str, prefix: str) -> Refused:
    return Refused(
        f"Invalid '{name}': '{value}'. Expected an ID that begins with '{prefix}'.",
        param=name,
        code="invalid_value",
    )
