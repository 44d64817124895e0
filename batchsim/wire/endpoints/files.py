"""The routes of the Files API."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, cast

from batchsim.backends import Backend, Receives, Reception
from batchsim.domain.files import File
from batchsim.errors import Refused
from batchsim.wire.endpoints.route import Call, Route
from batchsim.wire.http import Response, parse, ranges, render
from batchsim.wire.http.form import KEPT_IN_MEMORY, read_form


def upload(call: Call) -> Response:
    with _reception(call.backend) as reception:
        form = read_form(call.request, reception.write)
        purpose = form.fields.get("purpose")
        if purpose is None:
            raise Refused("'purpose' is a required property", param="purpose")
        file = call.ask(
            reception.keep,
            filename=form.filename,
            purpose=purpose,
            expires_after=_lifetime(form.fields),
        )
    return render.pretty_line(render.file_object(file, call.profile, uploaded=True))


def _reception(backend: Backend) -> AbstractContextManager[Reception]:
    """Receive a content into the backend directly, if it can, else into a temporary file."""
    direct = backend.receiving() if isinstance(backend, Receives) else None
    return _put_aside(backend) if direct is None else direct


@contextmanager
def _put_aside(backend: Backend) -> Iterator[Reception]:
    with tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY) as content:
        yield _PutAside(backend, cast(BinaryIO, content))


class _PutAside:
    """Keeps a content until it is whole and its purpose is known."""

    def __init__(self, backend: Backend, content: BinaryIO) -> None:
        self._backend = backend
        self._content = content
        self.write = content.write

    def keep(self, *, filename: str, purpose: str, expires_after: int | None = None) -> File:
        self._content.seek(0)
        return self._backend.upload_file(
            self._content, filename=filename, purpose=purpose, expires_after=expires_after
        )


def list_(call: Call) -> Response:
    query = parse.query(call.request)
    arguments: dict[str, Any] = {
        name: query[name] for name in ("purpose", "after", "order") if name in query
    }
    if "limit" in query:
        arguments["limit"] = parse.integer("limit", query["limit"])
    page = call.ask(call.backend.list_files, **arguments)
    return render.pretty_line(render.file_list(page, call.profile))


def retrieve(call: Call) -> Response:
    file = call.ask(call.backend.retrieve_file, call.identifier)
    return render.pretty_line(render.file_object(file, call.profile))


def delete(call: Call) -> Response:
    call.ask(call.backend.delete_file, call.identifier)
    return render.pretty_line({"object": "file", "id": call.identifier, "deleted": True})


def content(call: Call) -> Response:
    pieces = render.StartedContent(call.backend.read_file(call.identifier))
    file = call.aside.retrieve_file(call.identifier)
    try:
        part = ranges.wanted(call.request, file.bytes) if call.heeds_ranges else None
    except BaseException:
        pieces.close()
        raise
    return render.content(file, pieces, part)


def _lifetime(fields: Mapping[str, str]) -> int | None:
    name = "expires_after"
    anchor, seconds = fields.get(f"{name}[anchor]"), fields.get(f"{name}[seconds]")
    if anchor is None and seconds is None:
        return None
    return parse.integer(f"{name}.seconds", parse.lifetime(name, anchor, seconds))


_LIST_QUERY: dict[str, dict[str, Any]] = {
    "purpose": {"type": "string"},
    "after": {"type": "string"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 10_000},
    "order": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
}

ROUTES = (
    Route("POST", "/v1/files", upload, "createFile", "Upload a file", "File", form="FileForm"),
    Route("GET", "/v1/files", list_, "listFiles", "List the files", "FileList", query=_LIST_QUERY),
    Route(
        "GET", "/v1/files/{id}", retrieve, "retrieveFile", "Get a file, without its content", "File"
    ),
    Route("DELETE", "/v1/files/{id}", delete, "deleteFile", "Delete a file", "FileDeletion"),
    Route(
        "GET", "/v1/files/{id}/content", content, "downloadFile", "Download a file's content", None
    ),
)
