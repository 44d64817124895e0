"""A value -> the API's JSON, key for key, and the answer that carries it."""

from __future__ import annotations

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
    """Whose habits the JSON has: the API's as of that year (both observed).

    In 2024 batches had neither `model` nor `usage`, and an upload was answered before the time
    of its expiry was known.
    """

    Y2024 = "2024"
    Y2026 = "2026"


def file_object(file: File, profile: Profile, *, uploaded: bool = False) -> dict[str, Any]:
    """The JSON object of a file; `uploaded` when it answers the upload."""
    value = file.to_object()
    if profile is Profile.Y2024 and uploaded:
        value["expires_at"] = None
    return value


def batch_object(batch: Batch, profile: Profile) -> dict[str, Any]:
    """The JSON object of a batch."""
    value = batch.to_object()
    if profile is Profile.Y2024:
        del value["model"], value["usage"]
    return value


def file_list(page: Page[File], profile: Profile) -> dict[str, Any]:
    """The JSON object of a page of files."""
    data = [file_object(file, profile) for file in page.data]
    first, last = _ends(page)
    return {
        "object": "list",
        "data": data,
        "has_more": page.has_more,
        "first_id": first,
        "last_id": last,
    }


def batch_list(page: Page[Batch], profile: Profile) -> dict[str, Any]:
    """The JSON object of a page of batches: its keys stand in another order (observed)."""
    data = [batch_object(batch, profile) for batch in page.data]
    first, last = _ends(page)
    return {
        "object": "list",
        "data": data,
        "first_id": first,
        "last_id": last,
        "has_more": page.has_more,
    }


def pretty(value: dict[str, Any], *, status: int = 200, headers: Headers = ()) -> Response:
    """An answer in JSON indented by two spaces, without a newline at its end."""
    return Response(status, JSON + headers, (orjson.dumps(value, option=orjson.OPT_INDENT_2),))


def pretty_line(value: dict[str, Any]) -> Response:
    """As `pretty`, with the newline that the Files API puts at the end (observed)."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return Response(200, JSON, (orjson.dumps(value, option=option),))


def compact(value: dict[str, Any]) -> Response:
    """An answer in JSON without spaces: only cancelling a batch is answered so (observed)."""
    return Response(200, JSON, (orjson.dumps(value),))


def json_text(text: str, *, status: int = 200) -> Response:
    """An answer in JSON that is text already, in ASCII."""
    return Response(status, JSON, (text.encode("ascii"),))


def page(text: str, *, status: int) -> Response:
    """An answer that is a web page, as from what stands before the API."""
    return Response(status, (("content-type", "text/html; charset=UTF-8"),), (text.encode(),))


class Begun:
    """A content of which the first piece has been asked for, so that it is known to come."""

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
        """Let go of it."""
        close = getattr(self._rest, "close", None)
        if close is not None:
            close()


def content(file: File, body: Begun, part: range | None = None) -> Response:
    """A file's content as a download, or a part of it."""
    headers: Headers = (
        ("content-type", "application/octet-stream"),
        ("content-disposition", _attachment(file.filename)),
        ("content-length", str(file.bytes if part is None else len(part))),
    )
    if part is None:
        return Response(200, headers, body)
    place = f"bytes {part.start}-{part.stop - 1}/{file.bytes}"
    return Response(206, (*headers, ("content-range", place)), RangeBody(body, part))


def _ends(page: Page[Any]) -> tuple[str | None, str | None]:
    return (page.data[0].id, page.data[-1].id) if page.data else (None, None)


def _attachment(filename: str) -> str:
    """The header for a filename that came from outside: nothing in it may end the header."""
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\' else "_"
        for char in filename
    )
    disposition = f'attachment; filename="{plain}"'
    if plain != filename:
        disposition += f"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
    return disposition
