"""Input files to measure with: chat requests of one size, always the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

_ENGLISH = (
    "Our customer writes that the parcel arrived two days late and that one of the three cups was "
    "broken. She asks for another cup, or for her money back, and wants to know who pays for the "
    "return. Answer politely, mention the order number, and do not promise anything that the shop's "
    "terms do not allow. "
)
_JAPANESE = (
    "お客様から、荷物が二日遅れて届き、三つのカップのうち一つが割れていたとのご連絡をいただきました。😢 "
    "交換または返金をご希望で、返送料はどちらの負担になるのかを知りたいそうです。📦 "
    "丁寧にお返事し、注文番号に触れ、店の規約にないことは約束しないでください。🙏 "
)
_MARK = "The request's own text goes here"


class Shape(NamedTuple):
    """What an input holds: `lines` requests of about `size` bytes each."""

    name: str
    lines: int
    size: int
    text: str = _ENGLISH

    def write(self, path: Path) -> None:
        """Write the input to `path`."""
        body = {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You are the voice of a shop for tableware."},
                {"role": "user", "content": _MARK},
            ],
            "max_tokens": 300,
            "temperature": 0.2,
        }
        line = {"custom_id": _MARK, "method": "POST", "url": "/v1/chat/completions", "body": body}
        head, middle, tail = json.dumps(line).split(_MARK)
        bytes_per_character = len(self.text.encode()) / len(self.text)
        characters = int((self.size - len(head + middle + tail) - 16) / bytes_per_character)
        corpus = self.text * (characters // len(self.text) + 2)
        with path.open("w", encoding="utf-8", newline="") as stream:
            for number in range(self.lines):
                start = number * 7 % len(self.text)
                text = corpus[start : start + characters]
                stream.write(f"{head}request-{number}{middle}{text}{tail}\n")


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "short": Shape("50,000 of 400 B", 50_000, 400),
        "long": Shape("50,000 of 4 KB", 50_000, 3_990),
        "japanese": Shape("50,000 of 400 B, Japanese and emoji", 50_000, 400, _JAPANESE),
        "million": Shape("1,000,000 of 400 B", 1_000_000, 400),
        "ten-million": Shape("10,000,000 of 400 B", 10_000_000, 400),
        "thousand": Shape("1,000 of 400 B", 1_000, 400),
        "one": Shape("1 line", 1, 400),
    }
)
"""The inputs by the names that rows use. That of one line tells what starting costs."""


def smaller(shape: Shape, lines: int) -> Shape:
    """The same with at most so many lines."""
    if shape.lines <= lines:
        return shape
    return shape._replace(name=shape.name.replace(f"{shape.lines:,}", f"{lines:,}"), lines=lines)
