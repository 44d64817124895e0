"""The options that a test gives by its markers: `@pytest.mark.batchsim(...)`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batchsim.backends.fake import scenario_of
from batchsim.domain.limits import OPENAI, Limits
from batchsim.errors import UsageError

ARGUMENTS = ("seed", "scenario", "responder", "limits", "pacing", "order", "faults", "allow")

PASSED_ON = ("responder", "order", "pacing", "faults")  # to FakeBackend as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerOptions:
    """The behaviour of the simulated service; `options` are further arguments of FakeBackend."""

    seed: int
    scenario: str
    limits: Limits
    allow: tuple[str, ...] | str
    options: Mapping[str, Any]


def merge_markers(markers: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]]) -> dict[str, Any]:
    """Merge the arguments of several markers, the nearest first: the nearest value counts.

    A marker is its positional and its named arguments. Raises UsageError for unknown ones.
    """
    arguments: dict[str, Any] = {}
    for positional, named in markers:
        unknown = [repr(each) for each in positional]
        unknown += [name for name in named if name not in ARGUMENTS]
        if unknown:
            raise UsageError(
                f"the marker batchsim takes no argument {', '.join(unknown)}",
                hint=f"it takes {', '.join(f'{name}=' for name in ARGUMENTS)}",
            )
        arguments = {**named, **arguments}
    return arguments


def read_options(arguments: Mapping[str, Any], *, seed: int) -> MarkerOptions:
    """Read the arguments of a marker; `seed` counts when they name none.

    A scenario goes with any pacing and any faults; faults of the marker come before those of the
    scenario. Raises UsageError for an unknown scenario or pacing.
    """
    scenario = scenario_of(arguments.get("scenario", "completed"))
    limits = arguments.get("limits", OPENAI)
    allow = arguments.get("allow", ())
    return MarkerOptions(
        seed=arguments.get("seed", seed),
        scenario=scenario.name,
        limits=limits,
        allow=allow if isinstance(allow, str) else tuple(allow),
        options={
            "scenario": scenario,
            "limits": limits,
            **{name: arguments[name] for name in PASSED_ON if name in arguments},
        },
    )
