"""Kinds of values that a setting may hold, checked by msgspec.

A field is annotated with one of these kinds. `check` refuses a value that is not of the kind, in
words for the person who set it. true and false are not numbers here.
"""

from typing import Annotated, Any

from msgspec import Meta, ValidationError, convert

from batchsim.errors import UsageError

Count = Annotated[int, Meta(ge=0, description="a whole number, at least 0")]
Positive = Annotated[int, Meta(ge=1, description="a whole number, at least 1")]
Seconds = Annotated[float, Meta(ge=0, description="a number of seconds, at least 0")]
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
ErrorStatus = Annotated[int, Meta(ge=400, le=599, description="a status from 400 to 599")]
CountByName = Annotated[
    dict[str, Count], Meta(description="whole numbers by name, such as {'gpt-4o': 90_000}")
]


def check(name: str, value: object, kind: Any) -> None:
    """Raise UsageError unless `value` is of that kind; `name` says where it was set."""
    if not is_a(value, kind):
        wanted = kind.__metadata__[-1].description
        raise UsageError(f"{name} cannot be {value!r}", hint=f"give {wanted}")


def is_a(value: object, kind: Any) -> bool:
    try:
        convert(value, kind)
    except ValidationError:
        return False
    return True
