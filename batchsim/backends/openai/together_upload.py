"""Uploads to services that keep files at another place (Together, by its own client 3.1.1).

Three requests: `POST /files` announces a file and is answered 302 with the place that takes its
content; `PUT` sends it there, without the key; `POST /files/{id}/preprocess` says that it is
there. Only then can a batch be made of the file. None of the three costs anything.
"""

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from batchsim.backends.call_errors import Call
from batchsim.backends.openai.rewindable_content import UploadBody
from batchsim.domain.coercion import text
from batchsim.errors import Refused
from batchsim.jsonl import BLOCK


def upload_elsewhere(
    client: Any, call: Call, purpose: str | None, filename: str, content: UploadBody, **sending: Any
) -> str:
    """Announce a file, send its content to the place that the service names, and return its id.

    The service knows contents by their hash: one that it already has is not sent again.
    Errors of the SDK and of its HTTP library pass through.
    """
    digest = hashlib.sha256()
    for piece in _pieces(content):
        digest.update(piece)
    fields = {
        "purpose": purpose,
        "file_name": filename,
        "file_type": "jsonl",
        "checksum": digest.hexdigest(),
    }
    try:
        answer = client.post("/files", body=fields, **sending)
    except Exception as error:
        status = getattr(error, "status_code", None)
        known = _known(getattr(error, "body", None))
        if status == 409 and known:
            return known
        if status != 302:
            raise
        answer = error.response  # type: ignore[attr-defined]
    place = answer.headers.get("location")
    file_id = text(answer.headers.get("x-together-file-id"))
    if not place or file_id is None:
        raise call.unanswered("the answer does not say where the content goes")
    _check(place, client)
    stored = client._client.put(  # noqa: SLF001 - the SDK's own put would carry the key there
        place,
        content=_pieces(content),
        headers={"Content-Length": str(len(content))},
        follow_redirects=False,
    )
    if stored.status_code != 200:
        raise call.unanswered(f"the place for its content answered {stored.status_code}")
    return file_id


def _check(place: str, client: Any) -> None:
    """Refuse to send the content unencrypted, unless the service itself is reached that way."""
    scheme = urlsplit(place).scheme
    if scheme != "https" and scheme != urlsplit(str(client.base_url)).scheme:
        raise Refused(f"the service wants the content at {scheme}:..., which is not encrypted")


def _known(body: Any) -> str | None:
    return text(body.get("file_id")) if isinstance(body, dict) else None


def _pieces(content: UploadBody) -> Iterator[bytes]:
    content.seek(0)
    while piece := content.read(BLOCK):
        yield piece
