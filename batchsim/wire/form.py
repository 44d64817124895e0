"""The multipart form of an upload, streamed: its parts in any order, its file on the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from batchsim.backends.fake import refusals
from batchsim.errors import MissingExtra, Refused
from batchsim.wire.message import Request

try:
    from multipart import (  # type: ignore[import-untyped]  # the library ships no types
        MultipartError,
        MultipartSegment,
        ParserLimitReached,
        PushMultipartParser,
        parse_options_header,
    )
except ImportError:
    raise MissingExtra(
        "the REST surface needs the package multipart", hint="pip install 'batchsim[testing]'"
    ) from None

LARGEST_FORM = 513_000_000
"""Bytes. A file has at most 512 MB, whatever it is for (API reference)."""

LONGEST_FIELD = 8_192
LONGEST_BOUNDARY = 200
MOST_PARTS = 16
KEPT_IN_MEMORY = 1 << 20


class Upload(NamedTuple):
    """What the form holds, its fields as text. `content` stands at its beginning."""

    content: IO[bytes]
    filename: str
    fields: Mapping[str, str]


@contextmanager
def read_upload(request: Request) -> Iterator[Upload]:
    """Read the form of an upload. Raises Refused when it is none.

    Content beyond 1 MiB goes to a temporary file, which is gone when the block is left.
    """
    parser = _parser(request)
    with tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY) as content:
        parts = _Parts(content)
        try:
            with parser:
                for piece in _bounded(request):
                    for event in parser.parse(piece):
                        parts.take(event)
        except ParserLimitReached:
            raise Refused("The multipart form of the request is too large.", status=413) from None
        except (MultipartError, UnicodeDecodeError):
            raise Refused("The multipart form of the request could not be parsed.") from None
        if parts.filename is None:
            raise Refused("'file' is a required property", param="file")
        content.seek(0)
        yield Upload(content, parts.filename, parts.fields)


class _Parts:
    """Takes the parser's events: the head of a part, pieces of its content, None at its end."""

    def __init__(self, content: IO[bytes]) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._content = content
        self._name = ""
        self._text = bytearray()

    def take(self, event: Any) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif self._name == "file":
            self._content.write(event or b"")
        elif event is None:
            self.fields[self._name] = self._text.decode()
        else:
            self._text += event
            if len(self._text) > LONGEST_FIELD:
                raise ParserLimitReached("a field is too long")

    def _begin(self, part: MultipartSegment) -> None:
        self._name = part.name or ""
        self._text.clear()
        if self._name in self.fields or (self._name == "file" and self.filename is not None):
            raise Refused(f"Duplicate parameter: '{self._name}'.", param=self._name)
        if self._name == "file":
            if part.filename is None:
                raise Refused("The part 'file' must have a filename.", param="file")
            self.filename = part.filename


def _parser(request: Request) -> PushMultipartParser:
    kind, options = parse_options_header(request.header("content-type") or "")
    if (
        kind != "multipart/form-data"
        or not 0 < len(options.get("boundary", "")) <= LONGEST_BOUNDARY
    ):
        raise Refused(
            "The request must be a multipart form: Content-Type: multipart/form-data; boundary=..."
        )
    return PushMultipartParser(options["boundary"], max_segment_count=MOST_PARTS)


def _bounded(request: Request) -> Iterator[bytes]:
    size = 0
    for piece in request.body:
        size += len(piece)
        if size > LARGEST_FORM:
            raise refusals.file_too_large()
        if piece:
            yield piece
