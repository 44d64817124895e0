"""An input file's lines -> the errors that the API would report.

Theory of operation. `InputRules` sees the lines of one input one after another and raises
`InvalidLine` with the first thing that is wrong with a line, in the order in which the API is
thought to check (inferred): JSON, required keys, duplicate custom_id, url, method, model, stream,
body. `walk()` does so for a whole input and tells blank lines apart: they are nothing at the end
and an error before it. What can only be judged over all lines is told by `finish()`.

The same rules serve two questions. The service asks them of one batch: one endpoint, one model,
at most 50,000 lines. A job asks them of an input that it will cut into batches itself: then
`endpoint=None` admits any of the eight and `one_model=False` any mixture.

What it says of a bad line is built in batch_errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from batchsim.domain.batch_errors import (
    duplicate_custom_id,
    empty_file,
    invalid_json_line,
    invalid_method,
    invalid_type,
    invalid_url,
    mismatched_model,
    missing_body_parameter,
    missing_required_parameter,
    model_not_found,
    streaming_unsupported,
    too_many_inputs,
    too_many_requests,
)
from batchsim.domain.batches import BatchError
from batchsim.domain.custom_ids import CustomIds
from batchsim.domain.endpoints import ENDPOINTS, Endpoint, is_openai_model
from batchsim.domain.json_objects import read_object
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.lines import RequestLine, read_usual_line
from batchsim.jsonl import Line

KEYS = ("custom_id", "method", "url", "body")
"""The keys that every line needs, in the order in which their absence is reported."""

_MOST_UNKNOWN_KEYS = 10
_new_tuple = tuple.__new__
_endpoint_at = {
    path: (endpoint, tuple(name for name in endpoint.required if name != "model"))
    for path, endpoint in ENDPOINTS.items()
}.get
"""The endpoint at a path, and what it requires besides the model."""

_QUOTED_KEYS = tuple(f'"{key}"'.encode() for key in KEYS)


class InvalidLine(Exception):
    """A line that the service would refuse; `error` is what it would say."""

    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


class InputRules:
    """The rules for the lines of one input, with what must be remembered from line to line."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        one_model: bool = True,
        limits: Limits = OPENAI,
        supports: Callable[[str], bool] = is_openai_model,
    ) -> None:
        """`endpoint` is the batch's; None admits any known one. `supports` knows the models."""
        self.endpoint = endpoint
        """The batch's endpoint; may be set once it is known."""
        self._one_model = one_model
        self._limits = limits
        self._nesting = limits.nesting
        self._supports = supports
        self.custom_ids = CustomIds()
        """Those of the lines so far."""
        self._known_models: set[str] = set()
        self.model: str | None = None
        """The model of the first line that names one."""
        self.model_line: int | None = None
        """The number of that line."""
        self.lines = 0
        """How many lines were checked, good or bad."""
        self.embedding_inputs = 0
        self.unknown_keys: dict[str, int] = {}
        """Top-level keys that mean nothing (the first few), each with the line of its first use."""

    def walk(self, lines: Iterable[Line]) -> Iterator[tuple[Line, RequestLine | BatchError]]:
        """Each line with the request that it holds, or with the first thing that is wrong with it.

        A line of nothing but ASCII white space is left out at the end of the input and is
        `invalid_json_line` elsewhere (inferred). It is known for which only when a later line has
        come, and is then given with the offset of the first blank line before that and no content.
        """
        first_blank: Line | None = None
        for line in lines:
            number, _, content = line
            if not content or content.isspace():
                first_blank = first_blank or line
                continue
            if first_blank is not None:
                for blank in range(first_blank.number, number):
                    self.lines += 1
                    yield Line(blank, first_blank.offset, b""), invalid_json_line(blank)
                first_blank = None
            try:
                yield line, self.check(number, content)
            except InvalidLine as invalid:
                yield line, invalid.error

    def check(self, number: int, content: bytes) -> RequestLine:
        """The line `number` (counted from 1), or InvalidLine with what is wrong with it."""
        self.lines += 1
        usual = read_usual_line(content, self._nesting)
        custom_id, url, body = usual or self._parts(number, content)
        if not self.custom_ids.add(custom_id):
            raise InvalidLine(duplicate_custom_id(number, custom_id))
        known = _endpoint_at(url)
        if known is None or (url != self.endpoint and self.endpoint is not None):
            raise InvalidLine(invalid_url(number))
        endpoint, parameters = known
        model = body.get("model")
        if model is None or model != self.model:
            self._check_model(number, endpoint, model)
        if body.get("stream") is True and endpoint.streams:
            raise InvalidLine(streaming_unsupported(number, endpoint.streams))
        for name in parameters:
            if body.get(name) is None and not _is_excused(endpoint, body):
                raise InvalidLine(missing_body_parameter(number, name))
        if url == "/v1/embeddings":
            self.embedding_inputs += embedding_inputs(body["input"])
        return _new_tuple(RequestLine, (number, custom_id, url, model, body))

    def finish(self) -> Iterator[BatchError]:
        """What is wrong with the input as a whole."""
        if not self.lines:
            yield empty_file()
        if self._one_model and self.lines > self._limits.requests_per_batch:
            yield too_many_requests(self.lines, self._limits.requests_per_batch)
        if self._one_model and self.embedding_inputs > self._limits.embedding_inputs_per_batch:
            yield too_many_inputs(self.embedding_inputs, self._limits.embedding_inputs_per_batch)

    def _parts(self, number: int, content: bytes) -> tuple[str, str, dict[str, Any]]:
        value = read_object(content, nesting=self._limits.nesting, unique=_QUOTED_KEYS)
        if value is None:
            raise InvalidLine(invalid_json_line(number))
        if len(value) > len(KEYS) and len(self.unknown_keys) < _MOST_UNKNOWN_KEYS:
            for key in islice((key for key in value if key not in KEYS), _MOST_UNKNOWN_KEYS):
                self.unknown_keys.setdefault(key[:64], number)
        custom_id, url, body = value.get("custom_id"), value.get("url"), value.get("body")
        if (
            type(custom_id) is str
            and custom_id
            and value.get("method") == "POST"
            and type(url) is str
            and type(body) is dict
        ):
            return custom_id, url, body
        raise InvalidLine(_bad_key(number, value))

    def _check_model(self, number: int, endpoint: Endpoint, model: Any) -> None:
        if model is None:
            if "model" in endpoint.required:
                raise InvalidLine(missing_body_parameter(number, "model"))
            return
        if type(model) is not str:
            raise InvalidLine(invalid_type(number, "body.model", "a string", model))
        if model not in self._known_models:
            if not self._supports(model):
                raise InvalidLine(model_not_found(number, model))
            self._known_models.add(model)
        if self.model is None:
            self.model, self.model_line = model, number
        elif self._one_model and model != self.model:
            raise InvalidLine(mismatched_model(number, model))


def _is_excused(endpoint: Endpoint, body: dict[str, Any]) -> bool:
    return any(body.get(name) is not None for name in endpoint.substitutes)


def embedding_inputs(value: Any) -> int:
    """How many embedding inputs an `input` holds: one string or token list, or one per element."""
    if isinstance(value, list) and not (value and isinstance(value[0], int)):
        return len(value)
    return 1


def _bad_key(number: int, value: dict[str, Any]) -> BatchError:
    for key in KEYS:
        if value.get(key) is None:
            return missing_required_parameter(number, key)
    if not isinstance(value["custom_id"], str):
        return invalid_type(number, "custom_id", "a string", value["custom_id"])
    if not value["custom_id"]:
        return missing_required_parameter(number, "custom_id")
    if value["method"] != "POST":
        return invalid_method(number)
    if not isinstance(value["url"], str):
        return invalid_url(number)
    return invalid_type(number, "body", "an object", value["body"])
