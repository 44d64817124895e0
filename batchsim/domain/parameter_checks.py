"""Checks of the parameters of a request about files and batches, before it is sent.

A value that the API would refuse is Refused. A value that no request can carry is a UsageError.
"""

import io
from collections.abc import Mapping
from typing import Any

from batchsim.domain import refusals
from batchsim.domain.endpoints import COMPLETION_WINDOW, ENDPOINTS
from batchsim.domain.files import UPLOAD_PURPOSES, Purpose
from batchsim.domain.limits import Limits
from batchsim.errors import UsageError


def is_text(value: object) -> bool:
    """True for a string that a request can carry: one without half a surrogate pair."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def a_kind(value: object) -> str:
    """The kind of a value, with its article: `an int`, `a Batch`, `the class Batch`, `None`."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """The name of a class with its article: `an int`, `a Batch`."""
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def check_text(name: str, value: object) -> None:
    """Raise UsageError unless `value` is text: an id that goes into a path, or part of a query."""
    if is_text(value):
        return
    if isinstance(value, str):
        raise UsageError(f"the {name} {value!r} is not text", hint="it holds half a surrogate pair")
    hint = f"give its id: {type(value).__name__.lower()}.id" if hasattr(value, "id") else None
    raise UsageError(f"the {name} must be text, not {a_kind(value)}", hint=hint)


def check_page(after: object, purpose: object = None) -> None:
    """Raise UsageError unless the choice of a page's entries is text, or absent."""
    for name, value in (("id `after`", after), ("purpose", purpose)):
        if value is not None:
            check_text(name, value)


def check_request(url: object, body: object) -> None:
    """Raise UsageError unless a single request, answered without a batch, can be sent."""
    check_text("url", url)
    if not isinstance(body, Mapping):
        raise UsageError(f"the body must be a dict, not {a_kind(body)}")


def check_content(content: Any) -> None:
    """Raise UsageError unless `content` looks like a file that is open for reading bytes."""
    if isinstance(content, io.TextIOBase) or not hasattr(content, "read"):
        raise UsageError(
            f"the content is no file open for reading bytes, but {a_kind(content)}",
            hint='open the file with "rb", or put bytes into io.BytesIO',
        )


def check_purpose(purpose: Any, filename: str) -> None:
    """Refuse an upload by its purpose or its name, before the first byte is read."""
    if not is_text(filename):
        raise UsageError(f"a file cannot be called {filename!r}", hint="give its name as text")
    if not isinstance(purpose, str) or purpose not in UPLOAD_PURPOSES:
        raise refusals.unknown_purpose(purpose)
    _, dot, extension = filename.rpartition("/")[2].rpartition(".")
    if purpose == Purpose.BATCH and dot and extension.lower() != "jsonl":
        raise refusals.wrong_file_format()


def check_lifetime(name: str, seconds: Any, limits: Limits) -> None:
    """Refuse a lifetime that is no integer or out of range; None is the default and passes."""
    if seconds is not None:
        shortest, longest = limits.shortest_file_lifetime, limits.longest_file_lifetime
        check_integer(f"{name}.seconds", seconds, shortest, longest)


def check_limit(limit: Any, most: int) -> None:
    """Refuse a page size that is no integer or not in 1 to `most`."""
    check_integer("limit", limit, 1, most)


def check_integer(name: str, value: Any, least: int, most: int) -> None:
    """Refuse a value that is no integer or not in `least` to `most`."""
    if type(value) is not int:
        raise refusals.wrong_type(name, "an integer", value)
    if not least <= value <= most:
        raise refusals.out_of_range(name, value, least, most)


def check_creation(
    input_file_id: Any, endpoint: Any, completion_window: Any, metadata: Any, limits: Limits
) -> None:
    """Refuse a batch whose parameters are absent, of a wrong type, or not among the allowed values.

    Validation finds later whether the input file itself is right.
    """
    _check_parameter("input_file_id", input_file_id)
    _check_parameter("endpoint", endpoint)
    _check_parameter("completion_window", completion_window)
    if not input_file_id.startswith("file-"):
        raise refusals.not_a_file_id(input_file_id)
    if endpoint not in ENDPOINTS:
        raise refusals.unknown_endpoint(endpoint)
    if completion_window != COMPLETION_WINDOW:
        raise refusals.unknown_completion_window(completion_window)
    if metadata is not None:
        _check_metadata(metadata, limits)


def _check_parameter(name: str, value: Any) -> None:
    if value is None:
        raise refusals.missing_parameter(name)
    if not isinstance(value, str):
        raise refusals.wrong_type(name, "a string", value)
    if not is_text(value):
        raise UsageError(f"the {name} {value!r} is not text")


def _check_metadata(metadata: Any, limits: Limits) -> None:
    if not isinstance(metadata, Mapping):
        raise refusals.wrong_type("metadata", "an object", metadata)
    if len(metadata) > limits.metadata_pairs:
        raise refusals.too_many_metadata_pairs(len(metadata), limits.metadata_pairs)
    for key, value in metadata.items():
        if not is_text(key):
            raise UsageError(f"the metadata key {key!r} is not text")
        if len(key) > limits.metadata_key_characters:
            raise refusals.metadata_key_too_long(key, limits.metadata_key_characters)
        if not isinstance(value, str):
            raise refusals.wrong_type(f"metadata.{key}", "a string", value)
        if not is_text(value):
            raise UsageError(f"the metadata value {value!r} is not text")
        if len(value) > limits.metadata_value_characters:
            raise refusals.metadata_value_too_long(key, value, limits.metadata_value_characters)
