"""The content of an upload, as a file that the HTTP library can measure, rewind and stream."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from batchsim.domain.parameter_checks import check_content
from batchsim.jsonl import BLOCK


@contextmanager
def open_upload(content: BinaryIO) -> "Iterator[UploadBody]":
    """Open everything from the present position of `content` to its end.

    A content that cannot seek is copied to a temporary file: a request begins with its length.
    """
    check_content(content)
    if content.seekable():
        yield UploadBody(content)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(content, copy, BLOCK)
        copy.seek(0)
        yield UploadBody(copy)


class UploadBody(io.RawIOBase):
    """The rest of a seekable file, as a file that begins at 0 and has a length.

    The HTTP library measures what it uploads and rewinds it to 0 first, so that it must not
    see the file itself. An error of reading is kept in `failure`, since the SDK wraps it.
    """

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._start = content.tell()
        self._size = content.seek(0, os.SEEK_END) - self._start
        self._content.seek(self._start)
        self.failure: Exception | None = None

    def __len__(self) -> int:
        return self._size

    def seekable(self) -> bool:
        """Always true: open_upload copies a content that cannot seek."""
        return True

    def tell(self) -> int:
        """The position, counted from where the rest begins."""
        return self._content.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        return self._content.seek(self._start + base + offset) - self._start

    def read(self, size: int = -1) -> bytes:
        """The next bytes, never more than the length announced at first."""
        left = self._size - self.tell()
        try:
            return self._content.read(left if size < 0 else min(size, left))
        except Exception as error:
            self.failure = error
            raise
