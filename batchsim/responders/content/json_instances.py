"""The smallest instance of a JSON schema, for answers in a given form."""

import math
from typing import Any

DEEPEST = 24  # The deepest nesting. A schema that refers to itself ends there with null.
LONGEST = 1_000  # the longest string and array that an instance holds, whatever its schema asks for

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Any, text: str) -> Any:
    """Return the smallest value that `schema` allows. Strings are `text`, if it is short enough.

    It understands what structured outputs support (API reference, "Supported schemas"): types,
    enum, const, anyOf, $ref, properties, items, ranges, lengths and formats, but no `pattern`.
    Another schema gives null; nothing is raised.
    """
    return _instance(schema, schema, text, 0)


def _instance(schema: Any, root: Any, text: str, depth: int) -> Any:
    schema = _resolve(schema, root)
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    if "const" in schema:
        return schema["const"]
    values = schema.get("enum")
    if isinstance(values, list) and values:
        return values[0]
    options = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(options, list) and options:
        return _instance(_simplest(options, root), root, text, depth + 1)
    return _typed(schema, root, text, depth)


def _typed(schema: dict[str, Any], root: Any, text: str, depth: int) -> Any:
    match _type(schema):
        case "object":
            return _object(schema, root, text, depth)
        case "array":
            item = _instance(schema.get("items"), root, text, depth + 1)
            return [item] * _length(schema, "minItems", 0)
        case "string":
            return _string(schema, text)
        case "integer" | "number" as kind:
            return _number(schema, kind)
        case "boolean":
            return True
        case _:
            return None


def _resolve(schema: Any, root: Any) -> Any:
    for _ in range(DEEPEST):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        target = root
        for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
            if part:
                name = part.replace("~1", "/").replace("~0", "~")
                target = target.get(name) if isinstance(target, dict) else None
        schema = target
    return None


def _simplest(options: list[Any], root: Any) -> Any:
    for option in options:
        if _type(_resolve(option, root)) not in ("object", "array", None):
            return option
    return options[0]


def _type(schema: Any) -> str | None:
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else None
    return kind if isinstance(kind, str) else None


def _object(schema: dict[str, Any], root: Any, text: str, depth: int) -> dict[str, Any]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {
        name: _instance(properties.get(name), root, text, depth + 1)
        for name in required
        if isinstance(name, str)
    }


def _string(schema: dict[str, Any], text: str) -> str:
    form = schema.get("format")
    value = _FORMATS.get(form, text) if isinstance(form, str) else text
    return value.ljust(_length(schema, "minLength", 0), ".")[
        : _length(schema, "maxLength", LONGEST)
    ]


def _number(schema: dict[str, Any], kind: str) -> float | int:
    low = _bound(schema, "minimum", "exclusiveMinimum")
    high = _bound(schema, "maximum", "exclusiveMaximum")
    step = _bound(schema, "multipleOf", "multipleOf")
    if kind == "number" and step is None and low is not None and high is not None:
        return (low + high) / 2
    if step is None or step <= 0:
        step = 1
    if low is not None:
        value = math.ceil(low / step) * step
        return value + step if value == schema.get("exclusiveMinimum") else value
    if high is not None:
        value = math.floor(high / step) * step
        return value - step if value == schema.get("exclusiveMaximum") else value
    return 0


def _bound(schema: dict[str, Any], *names: str) -> float | int | None:
    for name in names:
        value = schema.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None


def _length(schema: dict[str, Any], name: str, otherwise: int) -> int:
    value = _bound(schema, name)
    return otherwise if value is None else min(max(0, int(value)), LONGEST)
