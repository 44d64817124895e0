"""The types of the fields of faults and pacings, and the checks of their values.

More of these types are in batchsim.domain.constraints.
"""

import sys
from collections.abc import Collection, Hashable, Iterable
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from batchsim.domain.constraints import Positive
from batchsim.errors import UsageError

_LARGEST = sys.float_info.max

FiniteSeconds = Annotated[
    float, Meta(ge=0, le=_LARGEST, description="a finite number of seconds, at least 0")
]
TimeDifference = Annotated[
    float, Meta(ge=-_LARGEST, le=_LARGEST, description="a finite number of seconds")
]
HeaderText = Annotated[str, Meta(pattern=r"^[ -~]*\Z", description="a text of printable ASCII")]
Positions = (  # one position or several, counted from 1
    Positive | Annotated[tuple[Positive, ...], Meta(min_length=1, description="a list of these")]
)

_IN_WORDS = {bool: "true or false", str: "a text", float: "a number"}


def unknown(what: str, name: object, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"there is no {what} called {name!r}", hint=f"choose one of {', '.join(known)}"
    )


def is_at(positions: int | tuple[int, ...] | None, number: int) -> bool:
    """True if `number` is among `positions`; None stands for all."""
    return positions is None or number in (
        positions if isinstance(positions, tuple) else (positions,)
    )


def label_of(fault: Any) -> str:
    """The key of a fault's draws. It does not depend on the fault's position in a plan."""
    return " ".join(
        f"{each.name}={getattr(fault, each.name)!r}"
        for each in fields(fault)
        if each.name != "share" and getattr(fault, each.name) != each.default
    )


def convert_field(kind: Any, name: str, value: Any) -> Any:
    """Return `value` as the field's type has it. Raises msgspec.ValidationError."""
    return msgspec.convert(value, _types(kind)[name])


def in_words(kind: Any, name: str) -> str:
    return _described(_types(kind)[name])


def check_fields(value: Any, *, leave_out: Collection[str] = ()) -> None:
    """Raise UsageError for a field whose value is not of its type, or outside its range."""
    kind = type(value)
    for each in fields(value):
        given = getattr(value, each.name)
        if given is each.default or each.name in leave_out:
            continue
        try:
            if not isinstance(given, list):  # several positions are a tuple, which is hashable
                convert_field(kind, each.name, given)
                continue
        except msgspec.ValidationError:
            pass
        raise UsageError(
            f"{kind.__name__}.{each.name} cannot be {given!r}",
            hint=f"it must be {in_words(kind, each.name)}",
        )


def check_parameters(fault: Any, every: Iterable[str], own: Collection[str]) -> None:
    """Raise UsageError for a parameter that belongs to other faults."""
    for name in every:
        given = getattr(fault, name)
        if name not in own and given is not None and given is not False:
            hint = f"it has {', '.join(own)}" if own else "it has no parameters"
            raise UsageError(f"{fault.fault!r} has no {name!r}", hint=hint)


@cache
def _types(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _described(wanted: Any) -> str:
    if get_origin(wanted) is Annotated:
        return str(wanted.__metadata__[0].description)
    options = [each for each in get_args(wanted) if each is not type(None)]
    return ", or ".join(map(_described, options)) or _IN_WORDS[wanted]
