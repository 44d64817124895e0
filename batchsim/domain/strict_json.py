"""Read one JSON object strictly.

Stricter than most parsers on purpose: no NaN, no lone surrogates, no byte order mark, no deep
nesting, and no name twice where two readers could disagree on what a line says.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ESCAPED_ASCII_LETTER = re.compile(rb"\\u00[567]")
_OPENING, _CLOSING = b"[{", b"]}"


def read_object(content: bytes, *, nesting: int, unique: Iterable[bytes]) -> dict[str, Any] | None:
    """The JSON object that `content` holds, or None when it holds none that may be relied on.

    `nesting` is how deep it may be; `unique` are the names, each as a quoted JSON string, that
    must not stand twice at its top level.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict or is_deeper(content, nesting):
        return None
    suspicious = any(content.count(name) > 1 for name in unique)
    if suspicious or (b"\\u00" in content and _ESCAPED_ASCII_LETTER.search(content)):
        names = {name[1:-1].decode() for name in unique}
        if names.intersection(repeated_names(content)):
            return None
    return value


def is_deeper(content: bytes, nesting: int) -> bool:
    """True when the JSON text `content` nests arrays and objects more than `nesting` deep."""
    if opening_brackets(content) <= nesting:  # nearly always settles it
        return False
    depth = 0
    for byte in _STRING.sub(b"", content):
        if byte in _OPENING:
            depth += 1
            if depth > nesting:
                return True
        elif byte in _CLOSING:
            depth -= 1
    return False


def opening_brackets(content: bytes) -> int:
    """The number of opening brackets and braces in `content`, those in strings too."""
    # Comparing lengths is several times faster than bytes.count.
    return 2 * len(content) - sum(len(content.replace(each, b"")) for each in (b"[", b"{"))


def repeated_names(content: bytes) -> list[str]:
    """The names that stand more than once at the top level of the valid JSON object `content`."""
    top: list[str] = []

    def remember(pairs: list[tuple[str, Any]]) -> None:
        top[:] = [name for name, _ in pairs]  # the outermost object is the last to end

    json.loads(content, object_pairs_hook=remember, parse_int=float)
    return [name for name, times in Counter(top).items() if times > 1]


def type_name(value: Any) -> str:
    """The JSON type of `value` as the API's refusals name it, with its article (observed)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
