"""The errors with which a batch fails, each built in one place.

Codes and messages are the API's own where they were observed.
"""

from typing import Any

from batchsim.domain.batches import BatchError
from batchsim.domain.strict_json import type_name

INPUT_ERRORS = frozenset(
    {"duplicate_custom_id", "empty_file", "invalid_json_line", "invalid_method", "invalid_type"}
    | {"invalid_url", "mismatched_model", "missing_required_parameter", "streaming_unsupported"}
    | {"too_many_inputs", "too_many_tasks"}
)


def invalid_json_line(number: int) -> BatchError:
    """The line is not JSON, or not an object (observed)."""
    return BatchError(
        "invalid_json_line", "This line is not parseable as valid JSON.", None, number
    )


def missing_required_parameter(number: int, name: str) -> BatchError:
    """One of the four keys of a line is absent or null (observed)."""
    message = f"Missing required parameter: '{name}'."
    return BatchError("missing_required_parameter", message, name, number)


def missing_body_parameter(number: int, name: str) -> BatchError:
    """The body lacks what its endpoint needs (wording of September 2026, observed)."""
    message = f"Missing required parameter: '{name}'."
    return BatchError("missing_required_parameter", message, f"body.{name}", number)


def invalid_type(number: int, param: str, expected: str, value: Any) -> BatchError:
    """A parameter has the wrong JSON type (wording by analogy with the API's other refusals)."""
    message = (
        f"Invalid type for '{param}': expected {expected}, but got {type_name(value)} instead."
    )
    return BatchError("invalid_type", message, param, number)


def duplicate_custom_id(number: int, custom_id: str) -> BatchError:
    """The second line with the same custom_id (wording of a close clone; inferred)."""
    message = (
        f"The custom_id '{custom_id}' for this request is a duplicate of another request. "
        "The custom_id parameter must be unique for each request in a batch."
    )
    return BatchError("duplicate_custom_id", message, "custom_id", number)


def invalid_url(number: int) -> BatchError:
    """The line's url is not the batch's endpoint (observed)."""
    message = "The URL provided for this request does not match the batch endpoint."
    return BatchError("invalid_url", message, "url", number)


def invalid_method(number: int) -> BatchError:
    """The method is not POST (inferred)."""
    message = "Invalid method: only 'POST' is supported."
    return BatchError("invalid_method", message, "method", number)


def model_not_found(number: int, model: str) -> BatchError:
    """The service has no such model for batches (observed)."""
    message = f"The provided model '{model}' is not supported by the Batch API."
    return BatchError("model_not_found", message, "body.model", number)


def mismatched_model(number: int, model: str) -> BatchError:
    """The line names another model than the first (code observed, wording of a close clone)."""
    message = (
        f"The model '{model}' for this request does not match the rest of the batch. "
        "Each batch must contain requests for a single model."
    )
    return BatchError("mismatched_model", message, "body.model", number)


def streaming_unsupported(number: int, endpoint: str) -> BatchError:
    """The body asks for a stream (observed for chat completions)."""
    message = f"{endpoint}: Streaming is not supported in the Batch API."
    return BatchError("streaming_unsupported", message, "body.stream", number)


def empty_file() -> BatchError:
    """The file holds no line (a compatible service's wording)."""
    message = "The input file is empty. Please ensure that the batch contains at least one request."
    return BatchError("empty_file", message)


def too_many_requests(lines: int, limit: int) -> BatchError:
    """More lines than a batch may have (limit documented, code and wording inferred)."""
    message = f"The input file has {lines:,} requests. A batch may have at most {limit:,}."
    return BatchError("too_many_tasks", message)


def too_many_inputs(inputs: int, limit: int) -> BatchError:
    """More embedding inputs than a batch may have (limit documented, code and wording inferred)."""
    message = f"The input file has {inputs:,} embedding inputs. A batch may have at most {limit:,}."
    return BatchError("too_many_inputs", message)


def file_not_found(file_id: str, organization: str) -> BatchError:
    """The input file is gone by the time it is validated (observed)."""
    message = (
        f"Cannot find file {file_id}, or organization {organization} does not have access to it."
    )
    return BatchError("invalid_request", message, "file_id")


def input_unreadable(message: str) -> BatchError:
    """The input file is damaged on the simulator's disk (of our own making)."""
    return BatchError("file_corrupt", message, "input_file_id")


def token_limit_exceeded(model: str, organization: str, limit: int) -> BatchError:
    """The batch's prompt tokens do not fit the model's queue (observed)."""
    message = (
        f"Enqueued token limit reached for {model} in organization {organization}. "
        f"Limit: {limit:,} enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
    return BatchError("token_limit_exceeded", message)
