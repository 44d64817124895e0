"""Request lines that are all written in the same way, read together.

Theory of operation. A program writes its lines with the same keys in the same order, nearly always
that of the documentation, and so the bytes between the custom_id and the body are the same on all
of them. A pattern finds these in the first line; at them the others are taken apart, each step over
all lines at once, at a fraction of what lines cost one by one. That the line is made of just these
parts also proves that no key is there twice. Whatever is not so is not bad: such lines are looked
at one by one (batchsim.domain.validation.input_file).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from batchsim.domain.strict_json import is_deeper, opening_brackets

_match_start = re.compile(
    rb'(\{"custom_id": ?")[^"\\\x00-\x1f]++(", ?"method": ?"POST", ?"url": ?"([^"\\\x00-\x1f]++)", ?"body": ?)'
).match

_WHITE_SPACE = b" \t\r\n"
_QUOTES = 3
"""How many quotation marks stand before a custom_id."""

_LARGE = 1 << 20
"""Only the first line of a block can be longer; to take it apart with others would copy it often."""

_GROUP = 32
"""So many lines are searched for brackets together."""


class UsualLines(NamedTuple):
    """What stands on such lines. `bodies` are JSON objects; nothing else was judged."""

    custom_ids: list[str]
    url: str
    bodies: list[dict[str, Any]]


def read_usual_lines(contents: list[bytes], nesting: int) -> UsualLines | None:
    """The parts of such lines, nested at most `nesting` deep; None says nothing about the lines."""
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
    return UsualLines(custom_ids, path, bodies)


def _custom_ids(heads: tuple[bytes, ...], opening: bytes) -> list[str] | None:
    """What follows `opening` in every one of the `heads`, if all is plain."""
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
    """Whether none of the lines nests deeper."""
    for at in range(0, len(contents), _GROUP):
        group = contents[at : at + _GROUP]
        brackets = opening_brackets(b"".join(group))
        # Every line has two at least: its own, and that of its body.
        may_be_deep = brackets - 2 * (len(group) - 1) > nesting
        if may_be_deep and any(is_deeper(content, nesting) for content in group):
            return False
    return True
