"""Ids and chance, drawn by key.

A draw is a function of the seed, what it is for, and the numbers of the batch and the line that it
is for; never of what was drawn before. So one more call or line never changes another's fate, and
the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Callable

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_UUID_VARIANTS = "89ab"


class Draws:
    """Everything that depends on the seed."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()

    def draw(self, purpose: str, *numbers: int, size: int = 16) -> bytes:
        """`size` bytes (1 to 64) for a purpose and the numbers of what it concerns."""
        return hashlib.blake2b(_message(purpose, numbers), key=self._key, digest_size=size).digest()

    def share(self, purpose: str, *numbers: int) -> float:
        """A number that is at least 0 and less than 1, all 2**53 of them equally likely."""
        return (int.from_bytes(self.draw(purpose, *numbers, size=8), "little") >> 11) / 2**53

    def per_line(self, purpose: str, batch: int, *, size: int) -> Callable[[int], bytes]:
        """`draw(purpose, batch, line)` as a function of the line, quick for many lines."""
        start = hashlib.blake2b(_message(purpose, (batch,)), key=self._key, digest_size=size)

        def draw(line: int) -> bytes:
            state = start.copy()
            state.update(line.to_bytes(8, "little"))
            return state.digest()

        return draw

    def order(self, purpose: str, batch: int, count: int) -> array[int]:
        """The numbers from 0 to `count` - 1 in a drawn order.

        From two numbers on it is never the ascending order, so that whoever relies on that order
        is caught even by the smallest batch.
        """
        stream = hashlib.shake_128(self._key + _message(purpose, (batch,)))
        draws = array("Q", stream.digest(8 * count))
        if sys.byteorder == "big":
            draws.byteswap()
        drawn = sorted(range(count), key=draws.__getitem__)
        if count > 1 and all(place == number for place, number in enumerate(drawn)):
            drawn.append(drawn.pop(0))
        return array("I", drawn)


def derived_seed(seed: int, name: str) -> int:
    """The seed of one of several fakes that share `seed`, so that no two of them share ids."""
    message = f"{seed}\0{name}".encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "little")


def _message(purpose: str, numbers: tuple[int, ...]) -> bytes:
    return b"".join([purpose.encode(), b"\0", *(n.to_bytes(8, "little") for n in numbers)])


def file_id(draws: Draws, origin: str, number: int) -> str:
    """`file-` and 22 characters of base58 (observed).

    `origin` is "upload", "output" or "error"; `number` is that of the upload or of the batch.
    """
    value = int.from_bytes(draws.draw(f"file id, {origin}", number, size=24), "little")
    characters = []
    for _ in range(22):
        value, digit = divmod(value, 58)
        characters.append(_BASE58[digit])
    return "file-" + "".join(characters)


def batch_id(draws: Draws, number: int, created: float) -> str:
    """`batch_` and a UUIDv8 whose first eight digits are the creation time (observed)."""
    return "batch_" + timed_hex(created, draws.draw("batch id", number))


def timed_hex(moment: float, chance: bytes) -> str:
    """32 hex digits in the form of the API's UUIDv8s (observed).

    Eight digits of unix seconds, four of the second's fraction in 1/65536 of which the lowest two
    bits are 0, `8190`, one of 8 9 a b, and fifteen of `chance` (at least 9 bytes).
    """
    seconds = int(moment)
    fraction = int((moment - seconds) * 65536) & 0xFFFC
    variant = _UUID_VARIANTS[chance[0] & 3]
    return f"{seconds & 0xFFFFFFFF:08x}{fraction:04x}8190{variant}{chance[1:9].hex()[:15]}"


def request_id(chance: bytes) -> str:
    """A UUID in its written form, as result lines carry since 2026 (observed); from 16 bytes."""
    digits = chance[:16].hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}"
        f"-{_UUID_VARIANTS[chance[8] & 3]}{digits[17:20]}-{digits[20:]}"
    )
