"""Plans of faults as text: TOML files and JSON objects <-> Faults.

The keys are the fields of Faults. `requests`, `lines` and `batches` are lists of tables whose keys
are the fields of RequestFault, LineFault and BatchFault:

    stale_list_for = 60

    [[requests]]
    fault = "reply_lost"
    call = "create_batch"
    nth = 1

Nothing in a plan is evaluated. Every error names the file and the key.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import msgspec

from batchsim.backends.fake.behaviour.checks import convert_field, in_words
from batchsim.backends.fake.behaviour.faults import RULES, Faults
from batchsim.backends.fake.behaviour.scenarios import scenario_of
from batchsim.errors import UsageError

LARGEST_PLAN = 1 << 20  # bytes of a file
MOST_RULES = 1_000  # faults of one list
MOST_POSITIONS = 10_000  # positions of one fault, as in `nth = [1, 2]`

_HINT = "`batchsim scenarios --faults` shows what a plan can hold"


class PlanError(UsageError):
    """A plan of faults is wrong; `key` says where in it, such as `requests[0].share`."""

    def __init__(self, message: str, *, key: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key


def read_plan(path: Path) -> Faults:
    """Read the faults in a TOML file. Raises UsageError, which names the file and the key."""
    import tomllib

    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_PLAN + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", hint="name an existing TOML file"
        ) from None
    if len(content) > LARGEST_PLAN:
        raise UsageError(f"{path}: a plan has at most {LARGEST_PLAN:,} bytes")
    try:
        value = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: this is not TOML: {error}", hint=_HINT) from None
    try:
        return plan_of(value)
    except PlanError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint or _HINT) from None


def plan_of(value: Mapping[str, Any]) -> Faults:
    """Read the faults in an object of plain JSON types. Raises PlanError."""
    faults: Faults = _table(Faults, value, "")
    for index, each in enumerate(faults.batches):
        key = f"batches[{index}].scenario"
        try:
            scenario_of(each.scenario)
        except UsageError as error:
            raise PlanError(f"{key}: {error.message}", key=key, hint=error.hint) from None
    return faults


def plan_object(faults: Faults) -> dict[str, Any]:
    """Write a plan as plain JSON types for `plan_of`. Single faults leave out their defaults."""
    value = asdict(faults)
    for name in RULES:
        value[name] = [
            {
                each.name: getattr(rule, each.name)
                for each in fields(rule)
                if getattr(rule, each.name) != each.default
            }
            for rule in getattr(faults, name)
        ]
    return value


def _table(kind: type[Any], value: object, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise PlanError(f"'{key}' must be a table, not {value!r:.80}", key=key)
    defaults = {each.name: each.default for each in fields(kind)}
    options = {}
    for name, given in value.items():
        where = f"{key}.{name}" if key else name
        if name not in defaults:
            hint = f"the keys here are {', '.join(defaults)}"
            raise PlanError(f"there is no '{where[:200]}'", key=where, hint=hint)
        if given is not None:
            read = _rules if kind is Faults and name in RULES else _field
            options[name] = read(kind, name, given, where)
    for name, default in defaults.items():
        if default is MISSING and name not in options:
            raise PlanError(f"'{key}.{name}' is missing", key=f"{key}.{name}")
    try:
        return kind(**options)
    except UsageError as error:
        prefix = f"{key}: " if key else ""
        raise PlanError(f"{prefix}{error.message}", key=key, hint=error.hint) from None


def _rules(_: type[Any], name: str, entries: object, key: str) -> tuple[Any, ...]:
    if not isinstance(entries, list):
        raise PlanError(f"'{key}' must be a list of tables, not {entries!r:.80}", key=key)
    if len(entries) > MOST_RULES:
        raise PlanError(f"'{key}' has at most {MOST_RULES:,} entries", key=key)
    return tuple(_table(RULES[name], each, f"{key}[{n}]") for n, each in enumerate(entries))


def _field(kind: type[Any], name: str, given: Any, key: str) -> Any:
    if isinstance(given, list) and len(given) > MOST_POSITIONS:
        raise PlanError(f"'{key}' has at most {MOST_POSITIONS:,} entries", key=key)
    if isinstance(given, float) and math.isinf(given):
        raise PlanError(f"'{key}' must be finite", key=key)
    try:
        return convert_field(kind, name, _whole(given))
    except msgspec.ValidationError as error:
        key += str(error).partition("at `$")[2].rstrip("`")  # such as [1], an entry of a list
        words = f"'{key}' must be {in_words(kind, name)}, not {given!r:.80}"
        raise PlanError(words, key=key) from None


def _whole(value: Any) -> Any:
    """`value`, but 2.0 as 2: JSON does not tell them apart."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
