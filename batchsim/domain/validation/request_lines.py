"""The parts of a request line: its custom_id, its url and its body. Nothing more is judged here.

There are two ways to read lines, and one test holds both against each other
(tests/domain/validation/test_request_lines.py). `parts_of` reads any line, and says what is wrong
with a bad one. `read_uniform_lines` reads a block of lines that are written alike.

Theory of operation of the second. A program writes its lines with the same keys in the same order,
nearly always that of the documentation. So the bytes between the custom_id and the body are the
same on all of them. A pattern finds these bytes in the first line, and the other lines are split at
them, each step over all lines at once. A line that is made of just these parts has no key twice.
Other lines are not bad: they are read one by one.
"""

import re
from typing import Any, NamedTuple

import orjson

from batchsim.domain.batches import BatchError
from batchsim.domain.strict_json import is_deeper, opening_brackets
from batchsim.domain.validation import batch_errors

KEYS = ("custom_id", "method", "url", "body")
"""The keys that every line needs, in the order in which their absence is reported."""

_match_start = re.compile(
    rb'(\{"custom_id": ?")[^"\\\x00-\x1f]++'
    rb'(", ?"method": ?"POST", ?"url": ?"([^"\\\x00-\x1f]++)", ?"body": ?)'
).match

_WHITE_SPACE = b" \t\r\n"
_QUOTES = 3  # quotation marks before a custom_id

_LARGE = 1 << 20
"""Bytes. Only the first line of a block can be longer; splitting it would copy it often."""

_GROUP = 32  # lines that are searched for brackets together


def parts_of(number: int, value: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | BatchError:
    """The custom_id, the url and the body of a line, or the first thing that is wrong with it."""
    custom_id, url, body = value.get("custom_id"), value.get("url"), value.get("body")
    if (
        type(custom_id) is str
        and custom_id
        and value.get("method") == "POST"
        and type(url) is str
        and type(body) is dict
    ):
        return custom_id, url, body
    for key in KEYS:
        if value.get(key) is None or (key == "custom_id" and custom_id == ""):
            return batch_errors.missing_required_parameter(number, key)
    if type(custom_id) is not str:
        return batch_errors.invalid_type(number, "custom_id", "a string", custom_id)
    if value["method"] != "POST":
        return batch_errors.invalid_method(number)
    if type(url) is not str:
        return batch_errors.invalid_url(number)
    return batch_errors.invalid_type(number, "body", "an object", body)


class UniformLines(NamedTuple):
    """The parts of lines that are written alike. `bodies` are JSON objects."""

    custom_ids: list[str]
    url: str
    bodies: list[dict[str, Any]]


def read_uniform_lines(contents: list[bytes], nesting: int) -> UniformLines | None:
    """The parts of such lines, nested at most `nesting` deep; None says nothing about the lines.

    A line takes 2.6 µs here and 9.4 µs by itself; with all checks it is 3 µs against 17.
    """
    start = _match_start(contents[0])
    if start is None or len(contents[0]) > _LARGE:
        return None
    opening, separator, url = start.groups()
    if contents[0][-1:] != b"}":
        contents = [content.rstrip(_WHITE_SPACE) for content in contents]
    heads, _, rests = zip(*[content.partition(separator) for content in contents], strict=True)
    if {rest[-1:] for rest in rests} != {b"}"} or not _are_shallow(contents, nesting):
        return None
    try:
        path, custom_ids = url.decode(), _custom_ids(heads, opening)
        bodies = [orjson.loads(rest[:-1]) for rest in rests]
    except ValueError:
        return None
    if custom_ids is None or set(map(type, bodies)) != {dict}:
        return None
    return UniformLines(custom_ids, path, bodies)


def _custom_ids(heads: tuple[bytes, ...], opening: bytes) -> list[str] | None:
    """The text after `opening` in each of the `heads`, if all of it is plain."""
    text = b"\n".join((b"", *heads)).decode()
    nothing, *custom_ids = text.split("\n" + opening.decode())
    if (
        nothing
        or len(custom_ids) != len(heads)
        or text.count('"') != _QUOTES * len(heads)
        or "\\" in text
        or "" in custom_ids
        or not "".join(custom_ids).isprintable()
    ):
        return None
    return custom_ids


def _are_shallow(contents: list[bytes], nesting: int) -> bool:
    for at in range(0, len(contents), _GROUP):
        group = contents[at : at + _GROUP]
        brackets = opening_brackets(b"".join(group))
        # Every line has two at least: its own, and that of its body.
        may_be_deep = brackets - 2 * (len(group) - 1) > nesting
        if may_be_deep and any(is_deeper(content, nesting) for content in group):
            return False
    return True
