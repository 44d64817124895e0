"""A route: what is asked for, the function that answers, and what a description says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote

from batchsim.backends import Backend, Disturbed
from batchsim.domain.transport_failures import CutShort
from batchsim.errors import BatchsimError
from batchsim.wire.endpoints.upload_state import PendingUploads
from batchsim.wire.http.message import CutBody, Request, Response
from batchsim.wire.http.render import Profile

Value = TypeVar("Value")

Schema = Mapping[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 uses it."""


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that has found its route.

    `path` is the request's, as the API has it; `identifier` is what stands for `{id}` in it,
    unescaped; `deployment` is what Azure's path named instead of a model. `uploads_of` tells the
    uploads that a backend's key has begun. `heeds_ranges` says that a part of a content may be asked for,
    `cut` that the answer shall end early.
    """

    backend: Backend
    request: Request
    path: str
    identifier: str
    profile: Profile
    uploads_of: Callable[[Backend], PendingUploads]
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
    def uploads(self) -> PendingUploads:
        """The uploads that the key has begun."""
        return self.uploads_of(self.backend)

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

    def answer(self, call: Call) -> Response:
        """What the handler answers, or as much of it as shall go out."""
        response = self.handler(call)
        if call.cut is None:
            return response
        body = CutBody(response.body, call.cut.at)
        length = (("content-length", str(len(body))),)
        return Response(response.status, response.headers + length, body)


class Table:
    """Finds the routes of a path without trying them all."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, str] | str, tuple[Route, ...]] = {}
        self._heads: list[str] = []
        for route in routes:
            head, has_identifier, tail = route.path.partition("{id}")
            key = (head, tail) if has_identifier else head
            self._routes[key] = (*self._routes.get(key, ()), route)
            if has_identifier and head not in self._heads:
                self._heads.append(head)

    def find(self, path: str) -> tuple[tuple[Route, ...], str]:
        """The routes of a path, none when it has none, and what stands for `{id}` in it."""
        if routes := self._routes.get(path):
            return routes, ""
        for head in self._heads:
            if path.startswith(head):
                segment, slash, rest = path[len(head) :].partition("/")
                if segment and (routes := self._routes.get((head, slash + rest))):
                    return routes, unquote(segment)
        return (), ""
