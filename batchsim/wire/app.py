"""The Batch API as one function from Request to Response.

A request finds its route, is authenticated and gets its answer; an error on the way becomes an
answer in `problem`. Every answer gets the headers that the API always sends. Nothing here depends
on time or chance: request ids are drawn from a counter.
"""

import hashlib
import itertools
import threading
from collections.abc import Collection
from weakref import WeakKeyDictionary

from batchsim.backends import Backend
from batchsim.domain import refusals
from batchsim.domain.transport_failures import Unanswered
from batchsim.errors import BatchsimError
from batchsim.wire.access import ApiPath, SharedBackend, Tenants, api_path, authenticate
from batchsim.wire.endpoints import batches, files, models, synchronous, uploads
from batchsim.wire.endpoints.route import Call, Route, Table
from batchsim.wire.endpoints.upload_state import PendingUploads
from batchsim.wire.http import Headers, Profile, Request, Response, problem

ROUTES: tuple[Route, ...] = (  # The route table. A new part of the API adds its own ROUTES here.
    *files.ROUTES,
    *batches.ROUTES,
    *uploads.ROUTES,
    *models.ROUTES,
    *synchronous.ROUTES,
)

DESCRIPTION_PATH = "/openapi.json"  # the path of the OpenAPI description, which needs no key

_TABLE = Table(ROUTES)


class App:
    """The API in front of a Backend, or of one for each key. May be called from any thread.

    `backend` is a Backend for all keys, or Tenants with one for each. Only `api_keys` are accepted,
    or every key when None. `organization` and `project` only appear in headers. A Range of a file's
    content is ignored unless `heeds_ranges`: the API shows no sign of following it, similar
    services do. An error that batchsim does not raise on purpose passes through `handle`.
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
        tenants = backend if isinstance(backend, Tenants) else SharedBackend(backend)
        self._backend_of = tenants.backend
        self._uploads: WeakKeyDictionary[Backend, PendingUploads] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._profile = Profile(profile)
        self._api_keys = None if api_keys is None else tuple(api_keys)
        self._organization = organization
        self._project = project
        self._heeds_ranges = heeds_ranges
        self._numbers = itertools.count(1)

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises Unanswered when the client must get no answer."""
        place = api_path(request.path)
        closing = self._headers(request.method, place.path)
        try:
            answer = self._answer(request, place)
        except BatchsimError as error:
            if isinstance(error.__cause__, Unanswered):
                raise error.__cause__ from None
            is_upload = (request.method, place.path) == ("POST", "/v1/files")
            answer = problem.render(error, twice=is_upload)
        return Response(answer.status, answer.headers + closing, answer.body)

    def _answer(self, request: Request, place: ApiPath) -> Response:
        if request.path == DESCRIPTION_PATH and request.method == "GET":
            from batchsim.wire.endpoints import (
                openapi,  # the description and its schemas are seldom asked for
            )

            return openapi.answer(ROUTES)
        found, identifier = _TABLE.find(place.path)
        if not found:
            raise refusals.unknown_url(request.method, request.path)
        for route in found:
            if route.method == request.method:
                backend = self._backend_of(authenticate(request, self._api_keys))
                return route.answer(self._call(request, place, identifier, backend))
        raise problem.MethodNotAllowed(
            f"Not allowed to {request.method} on {request.path[: refusals.LONGEST_ECHO]}",
            allowed=tuple(route.method for route in found),
        )

    def _call(self, request: Request, place: ApiPath, identifier: str, backend: Backend) -> Call:
        return Call(
            backend=backend,
            request=request,
            path=place.path,
            identifier=identifier,
            profile=self._profile,
            uploads_of=self._uploads_of,
            deployment=place.deployment,
            heeds_ranges=self._heeds_ranges,
        )

    def _uploads_of(self, backend: Backend) -> PendingUploads:
        with self._lock:
            pending = self._uploads.get(backend)
            if pending is None:
                pending = self._uploads[backend] = PendingUploads()
            return pending

    def _headers(self, method: str, path: str) -> Headers:
        draw = hashlib.blake2b(str(next(self._numbers)).encode(), digest_size=16).digest()
        shortest, longest = (14, 40) if method == "GET" else (250, 700)
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
