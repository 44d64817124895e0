"""Read the multipart form of an upload as a stream, its parts in any order."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from batchsim.domain import refusals
from batchsim.domain.limits import LARGEST_FILE
from batchsim.errors import MissingExtra, Refused
from batchsim.wire.http.message import Request
from batchsim.wire.http.parse import check_uncompressed

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

LARGEST_PART = 64 << 20  # bytes (API reference, 64 MB; the official client sends MiB)
LARGEST_OVERHEAD = 1_000_000  # bytes of a form besides its file

LONGEST_FIELD = 8_192
LONGEST_BOUNDARY = 200
MOST_PARTS = 16
PLAIN_ENCODINGS = ("binary", "8bit", "7bit")
KEPT_IN_MEMORY = 1 << 18


Write = Callable[[bytes], object]


class Form(NamedTuple):
    """The filename of a form's file, and its other fields as text."""

    filename: str
    fields: Mapping[str, str]


class Upload(NamedTuple):
    """A form with the content of its file, which stands at its beginning."""

    content: IO[bytes]
    filename: str
    fields: Mapping[str, str]


@contextmanager
def read_upload(
    request: Request, *, name: str = "file", largest: int = LARGEST_FILE
) -> Iterator[Upload]:
    """Read a form like `read_form`, and keep the content of its file for the block.

    Beyond 256 KiB the content goes to a temporary file, which is removed at the end.
    """
    with tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY) as content:
        form = read_form(request, content.write, name=name, largest=largest)
        content.seek(0)
        yield Upload(content, form.filename, form.fields)


def read_form(
    request: Request, write: Write, *, name: str = "file", largest: int = LARGEST_FILE
) -> Form:
    """Read the form of an upload, whose part `name` is a file of at most `largest` bytes.

    `write` gets the content of the file, piece by piece. Raises Refused for a body that is no form
    or too large.
    """
    check_uncompressed(request)
    parser = _parser(request)
    parts = _Parts(write, name, largest)
    try:
        with parser:
            for piece in _bounded(request, largest + LARGEST_OVERHEAD):
                for event in parser.parse(piece):
                    parts.take(event)
    except ParserLimitReached:
        raise Refused("The multipart form of the request is too large.", status=413) from None
    except (MultipartError, UnicodeDecodeError):
        raise Refused("The multipart form of the request could not be parsed.") from None
    if parts.filename is None:
        raise Refused(f"'{name}' is a required property", param=name)
    return Form(parts.filename, parts.fields)


class _Parts:
    """Handles the parser's events: the head of a part, pieces of its content, None at its end."""

    def __init__(self, write: Write, file_name: str, largest: int) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._write = write
        self._file_name = file_name
        self._left = largest
        self._name = ""
        self._text = bytearray()

    def take(self, event: Any) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif self._name == self._file_name:
            if event is not None:
                self._left -= len(event)
                if self._left < 0:
                    raise refusals.file_too_large()
                self._write(event)
        elif event is None:
            self.fields[self._name] = self._text.decode()
        else:
            self._text += event
            if len(self._text) > LONGEST_FIELD:
                raise ParserLimitReached("a field is too long")

    def _begin(self, part: MultipartSegment) -> None:
        self._name = part.name or ""
        self._text.clear()
        is_file = self._name == self._file_name
        if self._name in self.fields or (is_file and self.filename is not None):
            raise Refused(f"Duplicate parameter: '{self._name}'.", param=self._name)
        encoding = part.header("Content-Transfer-Encoding", "binary").lower()
        if encoding not in PLAIN_ENCODINGS:
            raise Refused(f"The part '{self._name}' has an encoding that is not supported.")
        if is_file:
            if part.filename is None:
                raise Refused(f"The part '{self._name}' must have a filename.", param=self._name)
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


def _bounded(request: Request, largest: int) -> Iterator[bytes]:
    size = 0
    for piece in request.body:
        size += len(piece)
        if size > largest:
            raise refusals.file_too_large()
        if piece:
            yield piece
