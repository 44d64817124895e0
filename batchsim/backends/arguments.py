"""What a backend is made of, checked at once: no AttributeError comes of it later."""

from __future__ import annotations

from typing import Any

from batchsim.clock import Clock
from batchsim.domain.parameters import a_kind
from batchsim.errors import UsageError


def check_is(name: str, value: object, kind: type[Any], hint: str) -> None:
    """Raise UsageError unless `value` is a `kind`; a class is none."""
    if isinstance(value, type) or not isinstance(value, kind):
        wanted = a_kind(kind).removeprefix("the class ")
        raise UsageError(f"the {name} must be a {wanted}, not {a_kind(value)}", hint=hint)


def check_clock(clock: object) -> None:
    """Raise UsageError unless `clock` is absent or can tell the time and wait."""
    if clock is not None:
        check_is("clock", clock, Clock, "give one of batchsim.clock, such as VirtualClock()")
