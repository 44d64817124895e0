"""Plans of faults as text: TOML files and JSON objects <-> Faults.

The keys are the fields of Faults; `requests`, `lines` and `batches` are lists of tables whose keys
are the fields of RequestFault, LineFault and BatchFault:

    stale_list_for = 60

    [[requests]]
    fault = "reply_lost"
    call = "create_batch"
    nth = 1

Nothing in a plan is evaluated, and whatever is wrong with one is told with its file and its key.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from batchsim.backends.fake.behaviour.checks import is_number
from batchsim.backends.fake.behaviour.faults import RULES, Faults
from batchsim.backends.fake.behaviour.scenarios import scenario_of
from batchsim.errors import UsageError

LONGEST_PLAN = 1 << 20
"""Bytes of a file."""

MOST_RULES = 1_000
"""Faults of one list."""

MOST_PLACES = 10_000
"""Places of one fault, as in `nth = [1, 2]`."""


class PlanError(UsageError):
    """A plan of faults is wrong; `key` says where in it, such as `requests[0].share`."""

    def __init__(self, message: str, *, key: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key


_HOW = "`batchsim scenarios --faults` shows what a plan can hold"


def read_plan(path: Path) -> Faults:
    """The faults in a TOML file. Raises UsageError, with the file and the key, for what is wrong."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LONGEST_PLAN + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", hint="name an existing TOML file"
        ) from None
    if len(content) > LONGEST_PLAN:
        raise UsageError(f"{path}: a plan has at most {LONGEST_PLAN:,} bytes")
    try:
        value = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: this is not TOML: {error}", hint=_HOW) from None
    try:
        return plan_of(value)
    except PlanError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from None


def plan_of(value: Mapping[str, Any]) -> Faults:
    """The faults in an object of plain JSON types. Raises PlanError."""
    options = _checked(Faults, {**value, **dict.fromkeys(RULES, ())}, "")
    for name, kind in RULES.items():
        entries = value.get(name)
        if entries is None:
            continue
        if not isinstance(entries, list):
            raise PlanError(f"'{name}' is a list of tables", key=name)
        if len(entries) > MOST_RULES:
            raise PlanError(f"'{name}' has at most {MOST_RULES:,} entries", key=name)
        options[name] = tuple(
            _rule(kind, entry, f"{name}[{place}]") for place, entry in enumerate(entries)
        )
    faults: Faults = _made(Faults, options, "")
    for place, each in enumerate(faults.batches):
        key = f"batches[{place}].scenario"
        try:
            scenario_of(each.scenario)
        except UsageError as error:
            raise PlanError(f"{key}: {error.message}", key=key, hint=error.hint) from None
    return faults


def plan_object(faults: Faults) -> dict[str, Any]:
    """The plan as plain JSON types, as `plan_of` reads it; of single faults only what is said."""
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


def _rule(kind: type[Any], value: object, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise PlanError(f"'{key}' is a table", key=key)
    options = _checked(kind, value, f"{key}.")
    for each in fields(kind):
        if each.default is MISSING and each.name not in options:
            raise PlanError(f"'{key}.{each.name}' is missing", key=f"{key}.{each.name}")
    return _made(kind, options, key)


def _made(kind: type[Any], options: dict[str, Any], key: str) -> Any:
    try:
        return kind(**options)
    except UsageError as error:
        where = f"{key}: " if key else ""
        raise PlanError(f"{where}{error.message}", key=key, hint=error.hint) from None


def _checked(kind: type[Any], value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values that are not null, each of the type of its field."""
    types = {each.name: str(each.type) for each in fields(kind)}
    options = {}
    for name, given in value.items():
        key = f"{prefix}{name}"
        if name not in types:
            hint = f"there are {', '.join(types)}"
            raise PlanError(f"there is no '{key[:200]}'", key=key, hint=hint)
        if given is not None:
            options[name] = _typed(given, types[name], key)
    return options


def _typed(value: Any, wanted: str, key: str) -> Any:
    """`value` if it is of the type `wanted`, as the field is annotated."""
    if value == () or (isinstance(value, bool) and wanted == "bool"):
        return value
    if isinstance(value, str) and "str" in wanted:
        return value
    if (_is_number(value) and value >= 0) or (key == "clock_ahead_by" and _is_number(value)):
        if "float" in wanted:
            return float(value)
        if "int" in wanted and value == int(value):
            return int(value)
    if isinstance(value, list) and "tuple[int" in wanted and 0 < len(value) <= MOST_PLACES:
        return tuple(_typed(each, "int", f"{key}[{n}]") for n, each in enumerate(value))
    raise PlanError(f"'{key}' is {_in_words(wanted)}", key=key)


def _is_number(value: object) -> bool:
    return is_number(value) and math.isfinite(value)


def _in_words(wanted: str) -> str:
    names = {
        "bool": "true or false",
        "str": "a text",
        "tuple[int": "a list of whole numbers",
        "float": "a number of at least 0",
    }
    words = [words for name, words in names.items() if name in wanted]
    if "int" in wanted.replace("tuple[int", ""):
        words.append("a whole number of at least 0")
    return " or ".join(words)
