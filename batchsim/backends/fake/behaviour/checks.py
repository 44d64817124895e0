"""What the faults of requests, lines and batches have in common: what is checked, and their label."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any, TypeGuard

from batchsim.errors import UsageError

Places = int | tuple[int, ...] | None
"""One place, several, or all of them (None); counted from 1."""


def unknown(what: str, name: object, known: Iterable[str]) -> UsageError:
    """The error for a name that there is not."""
    return UsageError(
        f"there is no {what} called {name!r}", hint=f"choose one of {', '.join(known)}"
    )


def places_of(places: Places) -> tuple[int, ...]:
    """One place or several as several."""
    return places if isinstance(places, tuple) else () if places is None else (places,)


def label_of(fault: Any) -> str:
    """What tells a fault from others in a draw, wherever in a plan it stands."""
    return " ".join(
        f"{each.name}={getattr(fault, each.name)!r}"
        for each in fields(fault)
        if each.name != "share" and getattr(fault, each.name) != each.default
    )


def check_parameters(fault: Any, every: Iterable[str], own: Collection[str]) -> None:
    """Refuse a parameter that belongs to other faults."""
    for name in every:
        given = getattr(fault, name)
        if name not in own and given is not None and given is not False:
            hint = f"it has {', '.join(own)}" if own else "it has no parameters"
            raise UsageError(f"{fault.fault!r} has no {name!r}", hint=hint)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is an int or a float; true and false are no numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_seconds(name: str, seconds: object, most: float = math.inf) -> None:
    """Refuse what is no duration, or one above `most` (infinity is allowed unless that says no)."""
    if not (is_number(seconds) and 0 <= seconds <= most):
        hint = "it is a number of seconds, at least 0"
        raise UsageError(f"{name} cannot be {seconds!r}", hint=hint)


def check_amount(name: str, amount: object) -> None:
    """Refuse what is no whole number from 0 on."""
    if type(amount) is not int or amount < 0:
        raise UsageError(f"{name} cannot be {amount!r}", hint="it is a whole number, at least 0")


def check_share(share: float) -> None:
    """Refuse a share that is none."""
    if not (is_number(share) and 0 <= share <= 1):
        raise UsageError(f"the share cannot be {share!r}: it is between 0 and 1")


def check_status(status: int | None) -> None:
    """Refuse a status that is no error."""
    if status is not None and not (type(status) is int and 400 <= status <= 599):
        raise UsageError(f"the status cannot be {status!r}: it is between 400 and 599")


def check_places(name: str, places: Places) -> None:
    """Refuse places that nothing has."""
    if places is None:
        return
    told = places_of(places)
    if not told or any(type(each) is not int or each < 1 for each in told):
        raise UsageError(f"{name} cannot be {places!r}: it counts from 1")
