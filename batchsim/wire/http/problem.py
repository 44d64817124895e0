"""Errors -> status, headers and envelope. No other module decides this."""

import math
from typing import Any

from batchsim.domain.transport_failures import Answered
from batchsim.errors import (
    BatchsimError,
    FileCorrupt,
    InputError,
    RateLimited,
    Refused,
    Unavailable,
    UsageError,
)
from batchsim.wire.http.message import Headers, Response
from batchsim.wire.http.ranges import OutOfRange
from batchsim.wire.http.render import page, pretty


class MethodNotAllowed(Refused):
    """The path exists, the method does not (405)."""

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message, status=405)
        self.allowed = allowed


def render(error: BatchsimError, *, twice: bool = False) -> Response:
    """Return the response for `error`.

    A refused upload contains its message `twice` when no parameter is to blame (observed).
    The status tells the client what may have happened: a refusal keeps the service's own status,
    503 means that nothing changed, 500 leaves it open.
    """
    if isinstance(error.__cause__, Answered):
        return _instead(error.__cause__)
    status, type_, param, code = _envelope(error)
    envelope = {"message": error.message, "type": type_, "param": param, "code": code}
    body: dict[str, Any] = {"error": envelope}
    if twice and status == 400 and param is None:
        body["detail"] = {"message": error.message, "code": code}
    return pretty(body, status=status, headers=_headers(error))


def _instead(answered: Answered) -> Response:
    headers = tuple(answered.headers.items())
    if isinstance(answered.body, str):
        response = page(answered.body, status=answered.status)
        return Response(response.status, response.headers + headers, response.body)
    return pretty(dict(answered.body), status=answered.status, headers=headers)


def _envelope(error: BatchsimError) -> tuple[int, str | None, str | None, str | None]:
    if isinstance(error, Refused):
        status = error.status if 400 <= error.status < 500 or error.status == 501 else 400
        return status, error.type, error.param, error.code
    if isinstance(error, InputError | UsageError):
        return 400, "invalid_request_error", None, None
    if isinstance(error, FileCorrupt):
        return 500, "server_error", None, "file_corrupt"
    return 503 if isinstance(error, Unavailable) else 500, "server_error", None, None


def _headers(error: BatchsimError) -> Headers:
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return (("retry-after", str(max(1, math.ceil(error.retry_after)))),)
    if isinstance(error, OutOfRange):
        return (("content-range", f"bytes */{error.size}"),)
    if isinstance(error, MethodNotAllowed):
        return (("allow", ", ".join(error.allowed)),)
    return ()
