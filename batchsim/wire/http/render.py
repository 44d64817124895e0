"""Values -> the API's JSON, key for key, and the responses that carry it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import orjson

from batchsim.backends import Page
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.errors import TransferBroken
from batchsim.wire.http.message import Headers, Response
from batchsim.wire.http.ranges import RangeBody

JSON: Headers = (("content-type", "application/json"),)


class Profile(StrEnum):
    """The year whose API the JSON follows (both observed).

    In 2024 batches had neither `model` nor `usage`, and the answer to an upload did not yet tell
    when the file expires.
    """

    Y2024 = "2024"
    Y2026 = "2026"


def file_object(file: File, profile: Profile, *, uploaded: bool = False) -> dict[str, Any]:
    value = file.to_object()
    if profile is Profile.Y2024 and uploaded:
        value["expires_at"] = None
    return value


def batch_object(batch: Batch, profile: Profile) -> dict[str, Any]:
    value = batch.to_object()
    if profile is Profile.Y2024:
        del value["model"], value["usage"]
    return value


def file_list(page: Page[File], profile: Profile) -> dict[str, Any]:
    return _list(page, [file_object(file, profile) for file in page.data])


def batch_list(page: Page[Batch], profile: Profile) -> dict[str, Any]:
    """The JSON object of a page of batches. Its keys have another order (observed)."""
    value = _list(page, [batch_object(batch, profile) for batch in page.data])
    value["has_more"] = value.pop("has_more")
    return value


def _list(page: Page[Any], data: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = (page.data[0].id, page.data[-1].id) if page.data else (None, None)
    ends = {"first_id": first, "last_id": last}
    return {"object": "list", "data": data, "has_more": page.has_more, **ends}


def pretty(value: dict[str, Any], *, status: int = 200, headers: Headers = ()) -> Response:
    """Respond with JSON indented by two spaces, without a newline at its end."""
    return Response(status, JSON + headers, (orjson.dumps(value, option=orjson.OPT_INDENT_2),))


def pretty_line(value: dict[str, Any]) -> Response:
    """Respond like `pretty`, with the newline that the Files API adds at the end (observed)."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return Response(200, JSON, (orjson.dumps(value, option=option),))


def compact(value: dict[str, Any]) -> Response:
    """Respond with JSON without spaces, as the API does only to a cancel (observed)."""
    return Response(200, JSON, (orjson.dumps(value),))


def json_text(text: str, *, status: int = 200) -> Response:
    """Respond with JSON that is text already, in ASCII."""
    return Response(status, JSON, (text.encode("ascii"),))


def page(text: str, *, status: int) -> Response:
    """Respond with a web page, as a gateway in front of the API does."""
    return Response(status, (("content-type", "text/html; charset=UTF-8"),), (text.encode(),))


class StartedContent:
    """A content whose first piece has been read, so that a refusal comes before the head."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._broken: TransferBroken | None = None
        self._first = b""
        self._rest = pieces
        try:
            self._first = next(pieces, b"")
        except TransferBroken as error:  # it does come, but ends before its first piece
            self._broken = error

    def __iter__(self) -> Iterator[bytes]:
        if self._broken is not None:
            raise self._broken
        if self._first:
            yield self._first
        yield from self._rest

    def close(self) -> None:
        close = getattr(self._rest, "close", None)
        if close is not None:
            close()


def content(file: File, body: StartedContent, part: range | None = None) -> Response:
    """Respond with the content of a file as a download, or with a part of it."""
    headers: Headers = (
        ("content-type", "application/octet-stream"),
        ("content-disposition", _attachment(file.filename)),
        ("content-length", str(file.bytes if part is None else len(part))),
    )
    if part is None:
        return Response(200, headers, body)
    place = f"bytes {part.start}-{part.stop - 1}/{file.bytes}"
    return Response(206, (*headers, ("content-range", place)), RangeBody(body, part))


def _attachment(filename: str) -> str:
    """Return a header for a filename from outside. Nothing in it may end the header."""
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\' else "_"
        for char in filename
    )
    disposition = f'attachment; filename="{plain}"'
    if plain != filename:
        disposition += f"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
    return disposition
