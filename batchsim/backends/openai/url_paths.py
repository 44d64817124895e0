"""Ids as parts of paths, escaped; those that no service can have given out are refused unsent."""

from urllib.parse import quote

from batchsim.domain.parameter_checks import check_text
from batchsim.errors import NotFound

LONGEST_ID = 1_024
"""Characters. The longest ids known, of a proxy that encodes routes in them, have a few hundred."""


def file(file_id: str) -> str:
    """The path of a file. Raises NotFound for an id that cannot be one."""
    return "/files/" + _segment(file_id, f"No such File object: {file_id}", param="id")


def batch(batch_id: str) -> str:
    """The path of a batch. Raises NotFound for an id that cannot be one."""
    return "/batches/" + _segment(batch_id, f"No batch found with id '{batch_id}'.", param=None)


def _segment(identifier: str, refusal: str, *, param: str | None) -> str:
    check_text("id", identifier)
    if identifier in {"", ".", ".."} or len(identifier) > LONGEST_ID:
        raise NotFound(refusal[:LONGEST_ID], status=404, param=param)
    return quote(identifier, safe="")
