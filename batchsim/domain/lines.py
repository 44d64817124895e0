"""Lines of input files (RequestLine, RequestLines) and of output and error files (ResultLine)."""

from collections.abc import Iterator
from itertools import accumulate, repeat
from operator import add
from typing import Any, NamedTuple, Self

from batchsim.domain.answers import usage_of
from batchsim.domain.batches import Usage
from batchsim.domain.coercion import carried, integer, message, text
from batchsim.jsonl import Line


class RequestLine(NamedTuple):
    """A valid line of an input file.

    `number` counts from 1. `body` is the parsed request body, for reading only: what is sent to
    a service is always the line's own bytes. `model` is None where the endpoint asks for none.
    """

    number: int
    custom_id: str
    url: str
    model: str | None
    body: dict[str, Any]


_new_tuple = tuple.__new__  # half the time of calling the class, which counts once a line


class RequestLines(NamedTuple):
    """Neighbouring valid lines of an input file with the same url and model, in columns.

    `number` is that of the first line and `offset` that of its first byte; `contents` are the
    lines' bytes without their newlines. All else is as in RequestLine.
    """

    number: int
    offset: int
    contents: list[bytes]
    custom_ids: list[str]
    url: str
    model: str | None
    bodies: list[dict[str, Any]]

    @classmethod
    def of(cls, line: Line, request: RequestLine) -> Self:
        """Make one line into columns of length 1."""
        number, custom_id, url, model, body = request
        return cls(number, line.offset, [line.content], [custom_id], url, model, [body])

    def starts(self) -> Iterator[int]:
        """The offset of each line, then of what comes after the last."""
        lengths = accumulate(map(len, self.contents), initial=self.offset)
        return map(add, lengths, range(len(self.contents) + 1))

    def requests(self) -> list[RequestLine]:
        numbers = range(self.number, self.number + len(self.contents))
        columns = zip(
            numbers,
            self.custom_ids,
            repeat(self.url),
            repeat(self.model),
            self.bodies,
            strict=False,
        )
        return list(map(_new_tuple, repeat(RequestLine), columns))

    def part(self, begin: int, end: int) -> "RequestLines":
        """The lines from position `begin`, counted from 0, to before `end`."""
        if not begin and end >= len(self.contents):
            return self
        return RequestLines(
            self.number + begin,
            self.offset + sum(map(len, self.contents[:begin])) + begin,
            self.contents[begin:end],
            self.custom_ids[begin:end],
            self.url,
            self.model,
            self.bodies[begin:end],
        )


class Response(NamedTuple):
    """The HTTP answer to a line. `body` is the parsed JSON, of any type, as the service sent it."""

    status_code: int
    request_id: str | None
    body: Any

    @property
    def reason(self) -> "LineError":
        """The reason that a bad answer gives; its status code where it gives none."""
        given = self.body.get("error") if isinstance(self.body, dict) else None
        given = given if isinstance(given, dict) else {"message": given}
        code = given.get("code") or given.get("type") or f"http_{self.status_code}"
        return LineError(str(carried(code)), message(str(given.get("message") or "")))


class LineError(NamedTuple):
    """The reason for which a line was never run, such as `batch_expired` or `batch_cancelled`."""

    code: str
    message: str


class ResultLine(NamedTuple):
    """A line of an output or error file (API reference, "The request output object").

    A line that ran has a `response`, whatever its status code; one that never ran has an `error`
    and no response. Both are None only when a service broke its own format.
    """

    custom_id: str
    id: str | None = None
    response: Response | None = None
    error: LineError | None = None

    @property
    def is_ok(self) -> bool:
        """True when the line ran and got a 2xx answer."""
        return (
            self.error is None
            and self.response is not None
            and 200 <= self.response.status_code < 300
        )

    @property
    def reason(self) -> LineError | None:
        """The reason for a missing good answer: the line's own error, or that of the bad answer."""
        if self.is_ok or self.error:
            return self.error
        return (self.response or _NO_RESPONSE).reason

    @property
    def usage(self) -> Usage:
        """The tokens that a good answer reports; none for a line without a good answer."""
        return usage_of(self.response.body) if self.is_ok and self.response else _NO_USAGE

    @classmethod
    def from_object(cls, value: Any) -> Self:
        """Read one parsed result line as OpenAI or a compatible service writes it.

        Raises ValueError when it is not an object or has no custom_id to place it by.
        """
        if not isinstance(value, dict):
            raise ValueError("the result line is not a JSON object")
        custom_id = value.get("custom_id")
        if not isinstance(custom_id, str):
            raise ValueError("the result line has no custom_id")
        response, error = _response(value.get("response")), _error(value.get("error"))
        return cls(custom_id, text(value.get("id")), response, error)


def _response(value: Any) -> Response | None:
    if not isinstance(value, dict):
        return None
    code = value.get("status_code")
    if isinstance(code, str) and code.isdecimal() and len(code) < 10:
        code = int(code)
    return Response(integer(code) or 0, text(value.get("request_id")), value.get("body"))


def _error(value: Any) -> LineError | None:
    if isinstance(value, dict) and value:
        return LineError(text(value.get("code")) or "unknown", message(value.get("message")))
    if isinstance(value, str) and value:
        return LineError("unknown", message(value))
    return None


_NO_USAGE = Usage()
_NO_RESPONSE = Response(0, None, None)
