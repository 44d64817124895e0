"""A route: what is asked for, the function that answers, and what a description says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote

from batchsim.backends import Backend, Disturbed
from batchsim.domain.mishaps import CutShort
from batchsim.errors import BatchsimError
from batchsim.wire.message import Request, Response
from batchsim.wire.pending import PendingUploads
from batchsim.wire.render import Profile

Value = TypeVar("Value")

Schema = Mapping[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 uses it."""


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that has found its route.

    `path` is the request's, as the API has it; `identifier` is what stands for `{id}` in it,
    unescaped; `deployment` is what Azure's path named instead of a model. `uploads` are those that
    the backend's key has begun. `heeds_ranges` says that a part of a content may be asked for,
    `cut` that the answer shall end early.
    """

    backend: Backend
    request: Request
    path: str
    identifier: str
    profile: Profile
    uploads: PendingUploads
    deployment: str
    heeds_ranges: bool = False
    cut: CutShort | None = None

    def ask(self, method: Callable[..., Value], *arguments: Any, **options: Any) -> Value:
        """What a method of the backend returns, also when only a part of the answer shall go out."""
        try:
            return method(*arguments, **options)
        except BatchsimError as error:
            if not isinstance(error.__cause__, CutShort):
                raise
            self.cut = error.__cause__
            return cast(Value, self.cut.reply)

    def ask_as(self, name: str, subject: str, work: Callable[[], Value]) -> Value:
        """As `ask`, of a request that is no method of a backend but may go wrong like one."""
        backend = self.backend
        if isinstance(backend, Disturbed):
            value: Value = self.ask(backend.as_request, name, subject, work)
            return value
        return work()

    @property
    def aside(self) -> Backend:
        """The backend for a look that is no part of the request."""
        backend = self.backend
        return backend.undisturbed if isinstance(backend, Disturbed) else backend


class Operation(NamedTuple):
    """What the OpenAPI description says of a route, besides its method and path.

    `answer`, `body` and `form` (a multipart body) are names of schemas, those in `wire.schemas`.
    An operation without an `answer` answers with bytes.
    """

    name: str
    summary: str
    answer: str | None
    query: Mapping[str, Schema] = {}
    body: str | None = None
    form: str | None = None


class Route(NamedTuple):
    """Requests of one method for one path; in `path`, `{id}` stands for any one segment."""

    method: str
    path: str
    handler: Callable[[Call], Response]
    operation: Operation

    def match(self, path: str) -> str | None:
        """What stands for `{id}` in a request's path ("" without one); None when it differs."""
        head, has_identifier, tail = self.path.partition("{id}")
        if not has_identifier:
            return "" if path == head else None
        segment = path[len(head) : len(path) - len(tail)]
        if not segment or "/" in segment or path != head + segment + tail:
            return None
        return unquote(segment)
