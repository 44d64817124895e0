"""The routes of the Models API."""

from calendar import timegm
from typing import Any

from batchsim.backends import Answers
from batchsim.domain.models import KNOWN, release_date
from batchsim.errors import NotFound
from batchsim.wire.endpoints.route import Call, Route
from batchsim.wire.http import Response, render

UNDATED = 1_672_531_200  # 2023-01-01T00:00:00Z (ours), for a model whose name has no date


def list_(call: Call) -> Response:
    """`GET /v1/models`: those known by name. A newer one of a known family exists all the same."""
    data = [_model(name) for name in KNOWN if _exists(call, name)]
    return render.pretty({"object": "list", "data": data})


def retrieve(call: Call) -> Response:
    name = call.identifier
    if not _exists(call, name):
        raise NotFound(
            f"The model '{name}' does not exist", status=404, param="model", code="model_not_found"
        )
    return render.pretty(_model(name))


def _exists(call: Call, name: str) -> bool:
    return isinstance(call.backend, Answers) and call.backend.has_model(name)


def _model(name: str) -> dict[str, Any]:
    released = release_date(name)
    created = UNDATED if released is None else timegm((*released, 0, 0, 0))
    return {"id": name, "object": "model", "created": created, "owned_by": "system"}


ROUTES = (
    Route("GET", "/v1/models", list_, "listModels", "List the models", "ModelList"),
    Route("GET", "/v1/models/{id}", retrieve, "retrieveModel", "Get a model", "Model"),
)
