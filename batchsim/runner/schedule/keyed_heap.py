"""A heap of values by number, in which a number's value can be replaced."""

from collections.abc import Iterator
from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Value = TypeVar("Value", int, float, Decimal)


class KeyedHeap(Generic[Value]):
    """Values by number; the smallest is found fast. Replaced values stay until they come up."""

    def __init__(self) -> None:
        self._values: dict[int, Value] = {}
        self._heap: list[tuple[Value, int]] = []

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def put(self, number: int, value: Value | None) -> None:
        """Set the number's value; None removes the number."""
        if value is None:
            self._values.pop(number, None)
        elif self._values.get(number) != value:
            self._values[number] = value
            heappush(self._heap, (value, number))
            if len(self._heap) > 2 * len(self._values) + 16:
                self._heap = [(value, number) for number, value in self._values.items()]
                heapify(self._heap)

    @property
    def number(self) -> int | None:
        """The number with the smallest value, or None; of several, the smallest number."""
        while self._heap and self._values.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][1] if self._heap else None

    @property
    def value(self) -> Value | None:
        number = self.number
        return None if number is None else self._values[number]
