"""The strict JSON schema of a pydantic model, as the openai SDK itself would send it.

The SDK's helper for response formats lies in private modules that move between its releases. The
one for tools is public in all of 1.x, 2.x and 3.x and holds the same schema, so it is asked.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from batchsim.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The names that a schema may have (API reference, `response_format.json_schema.name`)."""


def strict_format(model: object) -> dict[str, Any]:
    """The name, the schema and `strict: true`, as `response_format` and `text.format` carry them.

    It is for reading only: each call for a model returns the same object.
    Raises UsageError for anything but a pydantic model, and for one without a strict schema.
    """
    kind = checked(model)
    if not _NAME.fullmatch(kind.__name__):
        raise UsageError(
            f"a schema cannot be called {kind.__name__!r}: "
            "the API takes letters, digits, _ and -, at most 64",
            hint=f"give it a name of its own: class Answer({kind.__name__}): ...",
        )
    return _format(kind)


def checked(model: object) -> type[BaseModel]:
    """`model` as a pydantic model. Raises UsageError for anything else."""
    from pydantic import BaseModel

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise UsageError(
            f"a response format is a pydantic model or a mapping, not {model!r}",
            hint="class Answer(pydantic.BaseModel): ...",
        )
    return model


@lru_cache(maxsize=64)
def _format(model: type[BaseModel]) -> dict[str, Any]:
    import openai

    try:
        tool: Any = openai.pydantic_function_tool(model)
    except Exception as error:
        raise UsageError(
            f"no strict JSON schema can be made of {model.__name__}: {error}",
            hint="its fields must be what JSON can carry",
        ) from error
    return {"name": model.__name__, "strict": True, "schema": tool["function"]["parameters"]}
