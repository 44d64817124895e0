"""Ids and random draws by key.

A draw depends on the seed, on its purpose, and on the numbers of its batch and line, but never on
earlier draws. So one more call or line changes nothing for the others, and the same seed gives the
same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Any

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_UUID_VARIANTS = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)
_UUID_DIGITS = [place for place in range(36) if place not in (8, 13, 18, 23)]
"""The places of the digits in a UUID, between the hyphens."""


class Draws:
    """All draws that depend on one seed."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()

    def draw(self, purpose: str, *numbers: int, size: int = 16) -> bytes:
        return hashlib.blake2b(_message(purpose, numbers), key=self._key, digest_size=size).digest()

    def share(self, purpose: str, *numbers: int) -> float:
        """Return a number in [0, 1), all 2**53 of them equally likely."""
        return (int.from_bytes(self.draw(purpose, *numbers, size=8), "little") >> 11) / 2**53

    def per_line(self, purpose: str, batch: int, *, size: int) -> PerLine:
        """Return draws for a purpose and the lines of a batch, fast for neighbouring lines."""
        return PerLine(hashlib.shake_128(self._key + _message(purpose, (batch,))), size)

    def order(self, purpose: str, batch: int, count: int) -> array[int]:
        """Return the numbers from 0 to `count` - 1 in a drawn order.

        For two numbers and more it is never the ascending order. So even the smallest batch catches
        a client that relies on that order.
        """
        stream = hashlib.shake_128(self._key + _message(purpose, (batch,)))
        draws = array("Q", stream.digest(8 * count))
        if sys.byteorder == "big":
            draws.byteswap()
        drawn = array("I")
        for part in _in_parts(draws):
            part.sort(key=draws.__getitem__)
            drawn.extend(part)
        if count > 1 and all(place == number for place, number in enumerate(drawn)):
            drawn.append(drawn.pop(0))
        return drawn


def _in_parts(draws: array[int]) -> list[list[int]]:
    """Divide the places of `draws` by the size of the draw there.

    One sort of all takes as long as the sorts of the parts, but nothing can interrupt it: the other
    threads of a server would wait for its end.
    """
    parts: list[list[int]] = [[] for _ in range(32)]
    for place, draw in enumerate(draws):
        parts[draw >> 59].append(place)
    return parts


class PerLine:
    """Draws of `size` bytes for the lines of one batch, by their numbers.

    One call of the hash draws for a block of neighbours: enough to make its own cost small, and few
    enough to cost no more where single lines are asked for.
    """

    BLOCK = 32

    def __init__(self, start: Any, size: int, written: Callable[[bytes], bytes] = bytes) -> None:
        """`start` is a hash to copy; `written` writes draws, each to the same length."""
        self._start = start
        self._size = size
        self._written = written
        self.width = len(written(bytes(size)))  # the length of a written draw
        self._number = -1
        self._drawn = b""

    def written(self, write: Callable[[bytes], bytes]) -> PerLine:
        return PerLine(self._start, self._size, write)

    def __call__(self, first: int, lines: int = 1) -> bytes:
        """Return the draws for some lines from number `first` on, one after another."""
        begin, end = first // self.BLOCK, (first + lines - 1) // self.BLOCK
        drawn = b"".join([self._draw(number) for number in range(begin, end + 1)])
        at = first % self.BLOCK * self._size
        return self._written(drawn[at : at + lines * self._size])

    def _draw(self, number: int) -> bytes:
        if number != self._number:
            state = self._start.copy()
            state.update(number.to_bytes(8, "little"))
            self._drawn = state.digest(self.BLOCK * self._size)
            self._number = number
        return self._drawn


def derived_seed(seed: int, name: str) -> int:
    """Return the seed of one of several fakes, so that no two of them share ids."""
    message = f"{seed}\0{name}".encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "little")


def _message(purpose: str, numbers: tuple[int, ...]) -> bytes:
    return b"".join([purpose.encode(), b"\0", *(n.to_bytes(8, "little") for n in numbers)])


def file_id(draws: Draws, origin: str, number: int) -> str:
    """Return `file-` and 22 characters of base58 (observed).

    `origin` is "upload", "output" or "error"; `number` counts uploads or batches.
    """
    value = int.from_bytes(draws.draw(f"file id, {origin}", number, size=24), "little")
    characters = []
    for _ in range(22):
        value, digit = divmod(value, 58)
        characters.append(_BASE58[digit])
    return "file-" + "".join(characters)


def batch_id(draws: Draws, number: int, created: float) -> str:
    """Return `batch_` and a UUIDv8 whose first eight digits are the creation time (observed)."""
    return "batch_" + timed_hex(created, draws.draw("batch id", number))


def timed_hex(moment: float, chance: bytes) -> str:
    """Return 32 hex digits in the form of the API's UUIDv8s (observed).

    Eight digits of unix seconds, four of the second's fraction in 1/65536 of which the lowest two
    bits are 0, `8190`, one of 8 9 a b, and fifteen of `chance` (8 bytes).
    """
    return (moments_in_hex([moment]) + chances_in_hex(chance[:8])).decode()


def moments_in_hex(moments: Iterable[float]) -> bytes:
    """Return the first 16 digits of `timed_hex` for each moment, one after another."""
    numbers = array("Q", [(int(moment * 65536) & 0xFFFFFFFFFFFC) << 16 for moment in moments])
    if sys.byteorder == "little":
        numbers.byteswap()
    digits = bytearray(numbers.tobytes().hex(), "ascii")
    for place, digit in enumerate(b"8190", start=12):
        digits[place::16] = bytes([digit]) * len(numbers)
    return bytes(digits)


def chances_in_hex(chances: bytes) -> bytes:
    """Return the last 16 digits of `timed_hex` for each 8 bytes of `chances`, one after another."""
    digits = bytearray(chances.hex(), "ascii")
    digits[0::16] = digits[0::16].translate(_UUID_VARIANTS)
    return bytes(digits)


def request_ids(chances: bytes) -> bytes:
    """Return a written UUID, as in result lines since 2026 (observed), for each 16 bytes."""
    digits = chances.hex().encode("ascii")
    ids = bytearray(b"-") * (36 * (len(chances) // 16))
    for source, target in enumerate(_UUID_DIGITS):
        ids[target::36] = digits[source::32]
    ids[14::36] = b"4" * (len(chances) // 16)
    ids[19::36] = ids[19::36].translate(_UUID_VARIANTS)
    return bytes(ids)
