"""The routes of the Uploads API: one file in several parts.

Statuses and limits are those of the API reference. The words of refusals are inferred: no traffic
of these routes was recorded.
"""

from functools import partial
from typing import Any, BinaryIO

from batchsim.domain import refusals
from batchsim.domain.files import File
from batchsim.domain.limits import OPENAI
from batchsim.domain.parameter_checks import check_integer, check_lifetime, check_purpose
from batchsim.errors import Refused
from batchsim.wire.endpoints.route import Call, Route
from batchsim.wire.endpoints.upload_state import PendingUpload
from batchsim.wire.http import Response, parse, render
from batchsim.wire.http.form import LARGEST_PART, read_upload

LARGEST_UPLOAD = 8 << 30  # bytes: 8 GB, of 1,024, as the official client's parts are 64 MiB

TEXTS = ("filename", "mime_type", "purpose")
PARAMETERS = ("bytes", *TEXTS, "expires_after")


def create(call: Call) -> Response:
    body = parse.json_object(call.request)
    parse.only(body, PARAMETERS)
    size = body.get("bytes")
    if size is None:
        raise refusals.missing_parameter("bytes")
    check_integer("bytes", size, 1, LARGEST_UPLOAD)
    filename, _, purpose = (parse.text(body, name) for name in TEXTS)
    check_purpose(purpose, filename)
    lifetime = parse.lifetime_in(body, "expires_after")
    check_lifetime("expires_after", lifetime, OPENAI)
    create = partial(
        call.uploads.create,
        call.backend.clock.now(),
        bytes=size,
        filename=filename,
        purpose=purpose,
        file_lifetime=lifetime,
    )
    upload = call.ask_as("create_upload", filename, create)
    return render.pretty(upload.to_object())


def add_part(call: Call) -> Response:
    pending = _pending(call)
    with read_upload(call.request, name="data", largest=LARGEST_PART) as form:
        add = pending.receive(form.content)
    part_id = call.ask_as("add_part", pending.upload.id, add)
    created_at = int(call.backend.clock.now())
    return render.pretty(
        {
            "id": part_id,
            "object": "upload.part",
            "created_at": created_at,
            "upload_id": pending.upload.id,
        }
    )


def complete(call: Call) -> Response:
    pending = _pending(call)
    upload = pending.upload
    body = parse.json_object(call.request)
    parse.only(body, ("part_ids", "md5"))
    part_ids = _part_ids(body)
    md5 = None if body.get("md5") is None else parse.text(body, "md5")

    def store(content: BinaryIO) -> File:
        return call.aside.upload_file(
            content,
            filename=upload.filename,
            purpose=upload.purpose,
            expires_after=upload.file_lifetime,
        )

    def complete() -> File | None:
        return pending.complete(part_ids, md5, store).file

    call.ask_as("upload_file", upload.filename, complete)
    return render.pretty(pending.upload.to_object())


def cancel(call: Call) -> Response:
    pending = _pending(call)
    cancelled = call.ask_as("cancel_upload", pending.upload.id, pending.cancel)
    return render.pretty(cancelled.to_object())


def _pending(call: Call) -> PendingUpload:
    return call.uploads.get(call.identifier, call.backend.clock.now())


def _part_ids(body: dict[str, Any]) -> list[str]:
    part_ids = body.get("part_ids")
    if part_ids is None:
        raise refusals.missing_parameter("part_ids")
    if not isinstance(part_ids, list):
        raise refusals.wrong_type("part_ids", "an array of strings", part_ids)
    for index, part_id in enumerate(part_ids):
        if not isinstance(part_id, str):
            raise refusals.wrong_type(f"part_ids[{index}]", "a string", part_id)
    if not part_ids:
        raise Refused(
            "Invalid 'part_ids': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            param="part_ids",
            code="empty_array",
        )
    return part_ids


ROUTES = (
    Route(
        "POST",
        "/v1/uploads",
        create,
        "createUpload",
        "Begin an upload in parts",
        "Upload",
        body="UploadRequest",
    ),
    Route(
        "POST",
        "/v1/uploads/{id}/parts",
        add_part,
        "addUploadPart",
        "Add a part to an upload",
        "UploadPart",
        form="PartForm",
    ),
    Route(
        "POST",
        "/v1/uploads/{id}/complete",
        complete,
        "completeUpload",
        "Make a file of the parts",
        "Upload",
        body="UploadCompletion",
    ),
    Route("POST", "/v1/uploads/{id}/cancel", cancel, "cancelUpload", "Give an upload up", "Upload"),
)
