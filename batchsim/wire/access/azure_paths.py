"""Azure's paths -> the API's own.

Azure serves the same API in two ways: under `/openai/v1/`, and, with an `api-version` in the query,
under `/openai/`, where single requests name a deployment instead of a model in their path.
"""

from typing import NamedTuple
from urllib.parse import unquote

PREFIX = "/openai/"
_DEPLOYMENTS = f"{PREFIX}deployments/"


class ApiPath(NamedTuple):
    """A path of the API, and the deployment in Azure's path ("" without one)."""

    path: str
    deployment: str = ""


def is_azure(path: str) -> bool:
    return path.startswith(PREFIX)


def api_path(path: str) -> ApiPath:
    """Translate a path of Azure. Any other path stays as it is."""
    if path.startswith(_DEPLOYMENTS):
        deployment, _, rest = path.removeprefix(_DEPLOYMENTS).partition("/")
        return ApiPath(f"/v1/{rest}", unquote(deployment))
    if not is_azure(path):
        return ApiPath(path)
    return ApiPath(f"/v1/{path.removeprefix(PREFIX).removeprefix('v1/')}")
