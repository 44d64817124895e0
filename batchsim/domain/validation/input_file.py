"""The rules for the lines of an input file: the errors that the API would report.

Theory of operation. `InputRules` sees the lines of one input one after another. Of each it says the
first thing that is wrong with it, in the order in which the API is thought to check (inferred):
JSON, required keys, duplicate custom_id, url, method, model, stream, body. `walk()` does so for a
whole input. Blank lines are ignored at its end, and are an error before it.
`finish()` judges the input as a whole.

Nearly always neighbouring lines are alike and valid. So `walk()` first puts each question to all
lines of a block at once. Only where an answer is no, or perhaps, are the lines checked one by one,
and only that says what is wrong.

The same rules serve two questions. The service asks them of one batch: one endpoint, one model, at
most 50,000 lines. A job asks them of an input that it will cut into batches itself: then
`one_batch=False` admits any mixture.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any, NamedTuple, cast

from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import ENDPOINTS, Endpoint, is_openai_model
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.domain.strict_json import read_object
from batchsim.domain.validation import batch_errors
from batchsim.domain.validation.custom_ids import CustomIds
from batchsim.domain.validation.request_lines import KEYS, parts_of, read_uniform_lines
from batchsim.jsonl import Block, Line

_MOST_UNKNOWN_KEYS = 10
_endpoint_at = {  # the endpoint at a path, and what it requires besides the model
    path: (endpoint, tuple(name for name in endpoint.required if name != "model"))
    for path, endpoint in ENDPOINTS.items()
}.get

_QUOTED_KEYS = tuple(f'"{key}"'.encode() for key in KEYS)


class InvalidLine(NamedTuple):
    """A line that the service would refuse, and what it would say."""

    line: Line
    error: BatchError


class InputRules:
    """The rules for the lines of one input, with what must be remembered from line to line."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        one_batch: bool = True,
        limits: Limits = OPENAI,
        supports: Callable[[str], bool] = is_openai_model,
    ) -> None:
        """`endpoint` is the batch's; None takes that of the first valid line."""
        self.endpoint = endpoint  # the batch's endpoint, once it is known
        self._one_batch = one_batch
        self._limits = limits
        self._supports = supports
        self.custom_ids = CustomIds()  # the custom_ids of the lines so far
        self._known_models: set[str] = set()
        self.model: str | None = None  # the model of the first line that names one
        self.model_line: int | None = None  # the number of that line
        self._first_blank: Line | None = None
        self.lines = 0  # the number of lines that were checked, good or bad
        self.embedding_inputs = 0
        self.unknown_keys: dict[str, int] = {}
        """Top-level keys that mean nothing (the first few), each with the line of its first use."""

    def walk(self, blocks: Iterable[Block]) -> Iterator[RequestLines | InvalidLine]:
        """Yield the valid lines, as many together as possible, and each invalid line by itself.

        A line of nothing but ASCII white space is left out at the end of the input, and is an
        `invalid_json_line` elsewhere (inferred). Only a later line tells which it is. It is then
        given with the offset of the first blank line before that one, and no content.
        """
        for block in blocks:
            uniform = self._uniform(block) if self._first_blank is None else None
            if uniform is not None:
                yield uniform
            else:
                yield from _together(self._one_by_one(block))

    def check(self, number: int, content: bytes) -> RequestLine | BatchError:
        """The line `number` (counted from 1), or the first thing that is wrong with it."""
        self.lines += 1
        parts = self._parts(number, content)
        if isinstance(parts, BatchError):
            return parts
        custom_id, url, body = parts
        if not self.custom_ids.add(custom_id):
            return batch_errors.duplicate_custom_id(number, custom_id)
        known = _endpoint_at(url)
        if known is None or (url != self.endpoint and self.endpoint is not None):
            return batch_errors.invalid_url(number)
        endpoint, parameters = known
        model = body.get("model")
        wrong = self._wrong_model(number, endpoint, model)
        if wrong is not None:
            return wrong
        self._take_model(number, model)
        if body.get("stream") is True and endpoint.streams:
            return batch_errors.streaming_unsupported(number, endpoint.streams)
        for name in parameters:
            if body.get(name) is None and not _is_excused(endpoint, body):
                return batch_errors.missing_body_parameter(number, name)
        if url == "/v1/embeddings":
            self.embedding_inputs += embedding_inputs(body["input"])
        self._take_endpoint(url)
        return RequestLine(number, custom_id, url, model, body)

    def _uniform(self, block: Block) -> RequestLines | None:
        """The block's lines if they are alike and all valid; None says nothing about them."""
        number, offset, contents = block
        uniform = read_uniform_lines(contents, self._limits.nesting)
        if uniform is None:
            return None
        custom_ids, url, bodies = uniform
        known = _endpoint_at(url)
        if known is None or (url != self.endpoint and self.endpoint is not None):
            return None
        endpoint, parameters = known
        model = bodies[0].get("model")
        if (
            [body.get("model") for body in bodies].count(model) < len(bodies)
            or True in [body.get("stream") for body in bodies]
            or any(None in [body.get(name) for body in bodies] for name in parameters)
            or self._wrong_model(number, endpoint, model) is not None
            or not self.custom_ids.add_all(custom_ids)
        ):
            return None
        self._take_model(number, model)
        self._take_endpoint(url)
        self.lines += len(contents)
        if url == "/v1/embeddings":
            self.embedding_inputs += sum(embedding_inputs(body["input"]) for body in bodies)
        return RequestLines(number, offset, contents, custom_ids, url, model, bodies)

    def _one_by_one(self, block: Block) -> Iterator[tuple[Line, RequestLine] | InvalidLine]:
        for line in block.lines():
            number, _, content = line
            if not content or content.isspace():
                self._first_blank = self._first_blank or line
                continue
            if self._first_blank is not None:
                first, offset, _ = self._first_blank
                for blank in range(first, number):
                    self.lines += 1
                    yield InvalidLine(
                        Line(blank, offset, b""), batch_errors.invalid_json_line(blank)
                    )
                self._first_blank = None
            found = self.check(number, content)
            yield InvalidLine(line, found) if isinstance(found, BatchError) else (line, found)

    def finish(self) -> Iterator[BatchError]:
        if not self.lines:
            yield batch_errors.empty_file()
        if self._one_batch and self.lines > self._limits.requests_per_batch:
            yield batch_errors.too_many_requests(self.lines, self._limits.requests_per_batch)
        if self._one_batch and self.embedding_inputs > self._limits.embedding_inputs_per_batch:
            yield batch_errors.too_many_inputs(
                self.embedding_inputs, self._limits.embedding_inputs_per_batch
            )

    def _parts(self, number: int, content: bytes) -> tuple[str, str, dict[str, Any]] | BatchError:
        value = read_object(content, nesting=self._limits.nesting, unique=_QUOTED_KEYS)
        if value is None:
            return batch_errors.invalid_json_line(number)
        if len(value) > len(KEYS) and len(self.unknown_keys) < _MOST_UNKNOWN_KEYS:
            for key in islice((key for key in value if key not in KEYS), _MOST_UNKNOWN_KEYS):
                self.unknown_keys.setdefault(key[:64], number)
        return parts_of(number, value)

    def _wrong_model(self, number: int, endpoint: Endpoint, model: Any) -> BatchError | None:
        if model is None:
            return (
                batch_errors.missing_body_parameter(number, "model")
                if "model" in endpoint.required
                else None
            )
        if type(model) is not str:
            return batch_errors.invalid_type(number, "body.model", "a string", model)
        if model not in self._known_models:
            if not self._supports(model):
                return batch_errors.model_not_found(number, model)
            self._known_models.add(model)
        if self._one_batch and self.model is not None and model != self.model:
            return batch_errors.mismatched_model(number, model)
        return None

    def _take_model(self, number: int, model: str | None) -> None:
        if self.model is None and model is not None:
            self.model, self.model_line = model, number

    def _take_endpoint(self, url: str) -> None:
        if self._one_batch and self.endpoint is None:
            self.endpoint = url


def _together(
    found: Iterable[tuple[Line, RequestLine] | InvalidLine],
) -> Iterator[RequestLines | InvalidLine]:
    """Put neighbouring lines together that have the url and the model in common."""
    for kind, each in groupby(found, key=_kind):
        if kind is None:
            yield from cast(Iterator[InvalidLine], each)
            continue
        lines, requests = zip(*cast(Iterator[tuple[Line, RequestLine]], each), strict=True)
        first = lines[0]
        yield RequestLines(
            first.number,
            first.offset,
            [line.content for line in lines],
            [request.custom_id for request in requests],
            *kind,
            [request.body for request in requests],
        )


def _kind(found: tuple[Line, RequestLine] | InvalidLine) -> tuple[str, str | None] | None:
    if isinstance(found, InvalidLine):
        return None
    _, request = found
    return request.url, request.model


def _is_excused(endpoint: Endpoint, body: dict[str, Any]) -> bool:
    return any(body.get(name) is not None for name in endpoint.substitutes)


def embedding_inputs(value: Any) -> int:
    """The number of embedding inputs in `input`: one string or token list, or one per element."""
    if isinstance(value, list) and not (value and isinstance(value[0], int)):
        return len(value)
    return 1
