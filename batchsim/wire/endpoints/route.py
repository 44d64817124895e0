"""Routes: method and path, the function that answers, and its OpenAPI description."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote

from batchsim.backends import Backend, Disturbed
from batchsim.domain.transport_failures import CutShort
from batchsim.errors import BatchsimError
from batchsim.wire.endpoints.upload_state import PendingUploads
from batchsim.wire.http import CutBody, Profile, Request, Response

Value = TypeVar("Value")
Schema = Mapping[str, Any]  # a JSON Schema (2020-12), as OpenAPI 3.1 uses it


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that has found its route.

    `path` is the API's path, `identifier` its `{id}`, unescaped, and `deployment` the one that
    Azure's path has instead of a model. `uploads_of` finds the pending uploads of a backend's key.
    With `heeds_ranges` a client may ask for a part of a content. With `cut` the answer ends early.
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
        """Call a method of the backend. A reply that is cut short counts as a value."""
        try:
            return method(*arguments, **options)
        except BatchsimError as error:
            if not isinstance(error.__cause__, CutShort):
                raise
            self.cut = error.__cause__
            return cast(Value, self.cut.reply)

    def ask_as(self, name: str, subject: str, work: Callable[[], Value]) -> Value:
        """Do `work` as a request that is no method of the backend but may fail like one."""
        backend = self.backend
        if isinstance(backend, Disturbed):
            value: Value = self.ask(backend.as_request, name, subject, work)
            return value
        return work()

    @property
    def uploads(self) -> PendingUploads:
        return self.uploads_of(self.backend)

    @property
    def aside(self) -> Backend:
        """The backend without faults, for lookups that are no part of the request."""
        backend = self.backend
        return backend.undisturbed if isinstance(backend, Disturbed) else backend


class Route(NamedTuple):
    """Requests of one method for one path; in `path`, `{id}` stands for any one segment.

    `name` and `summary` describe it in OpenAPI. `success`, `body` and `form` (a multipart body) are
    names of `openapi_schemas.SCHEMAS`. A route without a `success` answers with bytes.
    """

    method: str
    path: str
    handler: Callable[[Call], Response]
    name: str
    summary: str
    success: str | None
    query: Mapping[str, Schema] = {}
    body: str | None = None
    form: str | None = None

    def answer(self, call: Call) -> Response:
        """Return the handler's response, cut short if need be."""
        response = self.handler(call)
        if call.cut is None:
            return response
        body = CutBody(response.body, call.cut.at)
        length = (("content-length", str(len(body))),)
        return Response(response.status, response.headers + length, body)


class Table:
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
        """Return the routes of a path, if any, and its `{id}`."""
        if routes := self._routes.get(path):
            return routes, ""
        for head in self._heads:
            if path.startswith(head):
                segment, slash, rest = path[len(head) :].partition("/")
                if segment and (routes := self._routes.get((head, slash + rest))):
                    return routes, unquote(segment)
        return (), ""
