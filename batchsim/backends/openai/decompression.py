"""Decompress the content of a file, and notice when it was cut.

The HTTP libraries do not notice when a compressed content was cut, and pass on what is compressed
in a way that they do not know. Broken JSON shows itself, a broken file does not. So files are asked
for uncompressed. A service that compresses one all the same is understood with gzip and deflate.
"""

import zlib
from collections.abc import Iterator
from typing import Any

_PIECE = 1 << 20  # bytes: of a content that grows a thousandfold no more than this is in memory

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32

_PLAIN = ("", "identity")
_KNOWN = ("gzip", "x-gzip", "deflate")


class Undecodable(ValueError):
    """The content is compressed in a way that is not known, damaged, or cut."""


def decoded(response: Any) -> Iterator[bytes]:
    """Yield the content of `response` as it comes. Raises Undecodable at its end or before."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in _PLAIN:
        yield from response.iter_bytes()
    elif encoding not in _KNOWN:
        raise Undecodable(f"it is compressed with {encoding[:40]!r}, which was not asked for")
    elif response.is_stream_consumed:  # the client read and decoded it at once
        yield from response.iter_bytes()
    else:
        yield from _inflated(response.iter_raw())


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflater, has_begun = zlib.decompressobj(_GZIP_OR_ZLIB), False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if inflater.eof:  # a content may be several compressed ones
                    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
                has_begun = True
                yield from _drained(inflater, rest)
                rest = inflater.unused_data
    except zlib.error as error:
        raise Undecodable(f"it cannot be decompressed: {error}") from None
    if has_begun and not inflater.eof:
        raise Undecodable("the compressed content was cut")


def _drained(inflater: Any, piece: bytes) -> Iterator[bytes]:
    while True:
        content = inflater.decompress(piece, _PIECE)
        yield content
        piece = inflater.unconsumed_tail
        if not piece and len(content) < _PIECE:
            return
