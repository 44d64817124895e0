"""Failures of a request on its way: what a client sees in the place of an answer.

A caller of a Backend sees the errors of batchsim.errors, which say what may be done
next. Such an error is raised from one of these, for servers and transports: they show a client
what it would have seen on a real connection.
"""

from collections.abc import Mapping
from typing import Any, Literal

NoAnswer = Literal["refused", "reset", "closed", "silent"]
"""The connection was refused, reset, or closed without an answer; or nothing came in time."""


class TransportFailure(Exception):
    """A request went wrong on its way."""


class Answered(TransportFailure):
    """Another answer came than the API's own.

    `body` is a JSON object, or a text, which is a web page; `headers` come besides its type.
    """

    def __init__(
        self, status: int, body: Mapping[str, Any] | str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body
        self.headers = headers or {}


class Unanswered(TransportFailure):
    """No answer came at all."""

    def __init__(self, how: NoAnswer) -> None:
        super().__init__(how)
        self.how = how


class CutShort(TransportFailure):
    """The answer ended after `at` bytes, or half-way when that is None; `reply` is all it said."""

    def __init__(self, at: int | None, reply: Any) -> None:
        super().__init__("half-way" if at is None else f"after {at} bytes")
        self.at = at
        self.reply = reply
