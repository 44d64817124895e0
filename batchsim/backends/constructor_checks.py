"""Checks of the arguments that a backend is made with, so that a wrong one is found at once."""

from typing import Any

from batchsim.clock import Clock
from batchsim.domain.limits import Limits
from batchsim.domain.parameter_checks import a_kind, with_article
from batchsim.errors import UsageError
from batchsim.stores import Store


def check_is(name: str, value: object, kind: type[Any], hint: str) -> None:
    """Raise UsageError unless `value` is an instance of `kind`, not a class."""
    if isinstance(value, type) or not isinstance(value, kind):
        wanted = with_article(kind.__name__)
        raise UsageError(f"the {name} must be {wanted}, not {a_kind(value)}", hint=hint)


def check_clock(clock: object) -> None:
    """Raise UsageError unless `clock` is absent or can tell the time and wait."""
    if clock is not None:
        check_is("clock", clock, Clock, "give one of batchsim.clock, such as VirtualClock()")


def check_service(
    *, seed: object, clock: object, limits: object, store: object, supports: object, order: object
) -> None:
    check_is("seed", seed, int, "give a whole number: seed=1")
    if order not in ("shuffled", "input"):
        raise UsageError(
            f"results cannot be in {order!r} order", hint='choose "shuffled" or "input"'
        )
    check_clock(clock)
    check_is("limits", limits, Limits, "give a Limits, such as Limits(requests_per_batch=100)")
    if store is not None:
        hint = "give one of batchsim.stores, such as disk.DiskStore(path)"
        check_is("store", store, Store, hint)
    if not callable(supports):
        raise UsageError(
            f"supports must be a function of a model's name, not {a_kind(supports)}",
            hint="give one that says whether there is such a model: lambda name: True",
        )
