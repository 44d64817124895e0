"""The Batch API as one function from Request to Response.

A request finds its route, names its key, and is answered; an error on the way becomes an answer in
`problem`. Whatever the answer, it gets the headers that the API puts on all of them. Nothing
here depends on the time or on chance: request ids are drawn from a counter.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Collection
from weakref import WeakKeyDictionary

from batchsim.backends import Backend
from batchsim.domain import refusals
from batchsim.domain.mishaps import CutShort, Unanswered
from batchsim.errors import BatchsimError
from batchsim.wire import batches, files, models, openapi, problem, synchronous, uploads
from batchsim.wire.auth import authenticate
from batchsim.wire.azure import Place, locate
from batchsim.wire.message import Cut, Headers, Request, Response
from batchsim.wire.pending import PendingUploads
from batchsim.wire.render import Profile
from batchsim.wire.routes import Call, Route
from batchsim.wire.tenants import Tenants

ROUTES: tuple[Route, ...] = (
    *files.ROUTES,
    *batches.ROUTES,
    *uploads.ROUTES,
    *models.ROUTES,
    *synchronous.ROUTES,
)
"""The route table. A new part of the API adds its own ROUTES here."""


class App:
    """The API in front of a Backend, or of one for each key. May be called from any thread.

    `backend` is a Backend that every key sees, or the Tenants that tell keys apart. `api_keys`
    are those that are let in, any when None. `organization` and `project` only appear
    in headers. A Range of a file's content is ignored unless `heeds_ranges`: there is no sign that
    the API heeds it, and services like it do. An error that batchsim does not raise on purpose passes through `handle`: it is a
    bug, and a door decides what becomes of it.
    """

    def __init__(
        self,
        backend: Backend | Tenants,
        *,
        profile: Profile | str = Profile.Y2026,
        api_keys: Collection[str] | None = None,
        organization: str = "org-batchsim",
        project: str = "proj_batchsim",
        heeds_ranges: bool = False,
    ) -> None:
        self._backend_of = backend.backend if isinstance(backend, Tenants) else lambda _: backend
        self._uploads: WeakKeyDictionary[Backend, PendingUploads] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._profile = Profile(profile)
        self._api_keys = api_keys
        self._organization = organization
        self._project = project
        self._heeds_ranges = heeds_ranges
        self._numbers = itertools.count(1)

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when there shall be no answer at all."""
        number = next(self._numbers)
        place = locate(request.path)
        try:
            answer = self._answer(request, place)
        except BatchsimError as error:
            if isinstance(error.__cause__, Unanswered):
                raise error.__cause__ from None
            is_upload = (request.method, place.path) == ("POST", "/v1/files")
            answer = problem.render(error, twice=is_upload)
        headers = answer.headers + self._headers(request, place.path, number)
        return Response(answer.status, headers, answer.body)

    def _answer(self, request: Request, place: Place) -> Response:
        if request.path == openapi.PATH and request.method == "GET":
            return openapi.answer(ROUTES)
        found = [
            (route, identifier)
            for route in ROUTES
            if (identifier := route.match(place.path)) is not None
        ]
        if not found:
            raise refusals.unknown_url(request.method, request.path)
        for route, identifier in found:
            if route.method == request.method:
                call = self._call(request, place, identifier)
                return _as_cut(route.handler(call), call.cut)
        raise problem.MethodNotAllowed(
            f"Not allowed to {request.method} on {request.path[: refusals.LONGEST_ECHO]}",
            allowed=tuple(route.method for route, _ in found),
        )

    def _call(self, request: Request, place: Place, identifier: str) -> Call:
        backend = self._backend_of(authenticate(request, self._api_keys))
        return Call(
            backend=backend,
            request=request,
            path=place.path,
            identifier=identifier,
            profile=self._profile,
            uploads=self._uploads_of(backend),
            deployment=place.deployment,
            heeds_ranges=self._heeds_ranges,
        )

    def _uploads_of(self, backend: Backend) -> PendingUploads:
        with self._lock:
            pending = self._uploads.get(backend)
            if pending is None:
                pending = self._uploads[backend] = PendingUploads()
            return pending

    def _headers(self, request: Request, path: str, number: int) -> Headers:
        draw = hashlib.blake2b(str(number).encode(), digest_size=16).digest()
        shortest, longest = (14, 40) if request.method == "GET" else (250, 700)
        elapsed = shortest + int.from_bytes(draw[:4], "big") % (longest - shortest + 1)
        headers: Headers = (
            ("openai-version", "2020-10-01"),
            ("openai-organization", self._organization),
            ("openai-processing-ms", str(elapsed)),
            ("x-request-id", f"req_{draw.hex()}"),
            ("x-content-type-options", "nosniff"),
        )
        if self._profile is not Profile.Y2024:
            headers += (("openai-project", self._project),)
        if path == "/v1/files" or path.startswith("/v1/files/"):
            headers += (("access-control-allow-origin", "*"),)
        return headers


def _as_cut(response: Response, cut: CutShort | None) -> Response:
    if cut is None:
        return response
    body = Cut(response.body, cut.at)
    length = (("content-length", str(len(body))),)
    return Response(response.status, response.headers + length, body)
