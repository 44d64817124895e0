"""What the Files API checks while it receives a file."""

from __future__ import annotations

import codecs
from typing import BinaryIO

import orjson

from batchsim.domain import refusals
from batchsim.domain.files import Purpose
from batchsim.domain.parameters import check_content
from batchsim.stores import Draft

LARGEST_FILE = 512_000_000
"""The most bytes of a file that is no batch's input (API reference, 512 MB)."""

PIECE = 1 << 18
"""How many bytes are read at once."""


def receive(content: BinaryIO, draft: Draft, most: int, purpose: str) -> int:
    """Copy `content` into `draft`, checking it for its purpose on the way; its size in bytes.

    Reads at most one piece more than `most` bytes. Only the first line of a batch's input has to
    be JSON here; the others are looked at when a batch is validated (observed).
    """
    check_content(content)
    check = _InputCheck() if purpose == Purpose.BATCH else None
    size = 0
    while block := content.read(PIECE):
        size += len(block)
        if size > most:
            raise refusals.file_too_large()
        if check:
            check.see(block)
        draft.write(block)
    if check:
        check.finish()
    return size


class _InputCheck:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_between_characters = True
        self._first_line: bytearray | None = bytearray()

    def see(self, block: bytes) -> None:
        self._decode(block)
        if self._first_line is not None:
            head, newline, _ = block.partition(b"\n")
            self._first_line += head
            if newline:
                self._check_first_line()

    def finish(self) -> None:
        self._decode(b"", final=True)
        if self._first_line is not None:
            self._check_first_line()

    def _decode(self, block: bytes, *, final: bool = False) -> None:
        # Telling that all is ASCII takes a tenth of the time of decoding it.
        if self._is_between_characters and block.isascii():
            return
        try:
            self._decoder.decode(block, final)
        except UnicodeDecodeError:
            raise refusals.not_utf8() from None
        self._is_between_characters = not self._decoder.getstate()[0]

    def _check_first_line(self) -> None:
        # A byte order mark passes here and fails the batch in validation (observed).
        line, self._first_line = bytes(self._first_line or b""), None
        try:
            orjson.loads(line.removeprefix(codecs.BOM_UTF8))
        except orjson.JSONDecodeError:
            raise refusals.wrong_file_format() from None
