"""What a batch has to do: its lines, in which order they finish, and when."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import orjson

from batchsim.domain.lines import RequestLines

_MOST_TOGETHER = 128
_LARGEST_STRETCH = 1 << 18
"""So many neighbouring lines are read together, or so many bytes of them, whichever are fewer."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch has to do: where its lines are, and in which order they finish.

    `offsets` are those of its lines in the input, then the end of the last. `order` holds the
    line indices, from 0, in the order of finishing; the first can begin at `started`, in unix
    seconds, and the last finishes after `seconds`.
    """

    number: int
    open_input: Callable[[], BinaryIO]
    offsets: array[int]
    order: array[int]
    started: float
    seconds: float

    def finished_at(self, place: int) -> float:
        """When the line at that place of the order finishes, in unix seconds."""
        return self.started + self.seconds * (place + 1) / len(self.order)

    def requests(self, indices: list[int]) -> Iterator[RequestLines]:
        """The lines of those ascending indices, neighbours together, read from the input."""
        offsets = self.offsets
        with self.open_input() as source:
            for begin, end in _stretches(indices, offsets):
                source.seek(offsets[begin])
                yield _requests(begin, source.read(offsets[end] - offsets[begin]))

    def custom_ids(self, indices: Iterable[int]) -> Iterator[str]:
        """The custom_ids of some lines, read from the input one by one."""
        offsets = self.offsets
        with self.open_input() as source:
            for index in indices:
                source.seek(offsets[index])
                content = source.read(offsets[index + 1] - offsets[index])
                yield orjson.loads(content)["custom_id"]


def _stretches(indices: list[int], offsets: array[int]) -> Iterator[tuple[int, int]]:
    """Neighbours among ascending `indices`, as many together as make about a block: begin and end."""
    begin = 0
    for at in range(1, len(indices) + 1):
        if (
            at == len(indices)
            or indices[at] > indices[at - 1] + 1
            or at - begin == _MOST_TOGETHER
            or offsets[indices[at] + 1] - offsets[indices[begin]] > _LARGEST_STRETCH
        ):
            yield indices[begin], indices[at - 1] + 1
            begin = at


def _requests(index: int, content: bytes) -> RequestLines:
    """Neighbouring lines of a valid batch, from that index on."""
    contents = content.removesuffix(b"\n").split(b"\n")
    values = list(map(orjson.loads, contents))
    first, bodies = values[0], [value["body"] for value in values]
    custom_ids = [value["custom_id"] for value in values]
    model = bodies[0].get("model")
    return RequestLines(index + 1, 0, contents, custom_ids, first["url"], model, bodies)
