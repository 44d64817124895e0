"""The random parts of ids, from an occasion's entropy."""

import hashlib

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BASE62 = bytes(_LETTERS[byte % 62] for byte in range(256))


def base62(entropy: bytes) -> str:
    """Write one letter or digit per byte."""
    return entropy.translate(_BASE62).decode("ascii")


def stretch(entropy: bytes, purpose: str, size: int) -> bytes:
    """Return `size` (at most 64) further bytes of entropy for a `purpose`."""
    return hashlib.blake2b(purpose.encode(), key=entropy, digest_size=size).digest()
